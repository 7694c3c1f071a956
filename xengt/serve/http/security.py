"""What protects the connections of the server: TLS and passwords, by the agent's configuration."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xengt.errors import UnmetError
from xengt.serve.config import Listen
from xengt.serve.http import web_config
from xengt.serve.http.basic_auth import PasswordCheck
from xengt.serve.http.tls import RenewedContext, TlsOptions, validity_problem
from xengt.serve.http.web_config import WebConfig


@dataclass(frozen=True)
class Security:
    """TLS, passwords and HTTP headers of a server.

    Attributes:
        tls: None for plain HTTP.
        passwords: None without authentication.
        headers: HTTP headers of every answer.
    """

    tls: RenewedContext | None = None
    passwords: PasswordCheck | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def load(listen: Listen) -> Security:
    """Read the files that the configuration names.

    Args:
        listen: names the files.

    Raises:
        UnmetError: one of them, or a Python module that it requires, is missing or cannot be used.
    """
    config = _web_config(listen)
    return Security(
        None if config.tls is None else RenewedContext(config.tls),
        PasswordCheck(config.users) if config.users else None,
        config.headers,
    )


def require_valid_now(listen: Listen) -> None:
    """Check that the certificate has not expired.

    Args:
        listen: names the files.

    Raises:
        UnmetError: the certificate is not valid now, or a file cannot be used.
    """
    security = load(listen)
    if security.tls is not None:
        options = security.tls.options
        if (problem := validity_problem(options)) is not None:
            raise UnmetError(
                f"clients will reject the certificate {options.certificate}: {problem}",
                "renew the certificate, or correct the clock of this host",
            )


def _web_config(listen: Listen) -> WebConfig:
    if listen.web_config is not None:
        return web_config.load(Path(listen.web_config))
    if listen.certificate is None or listen.key is None:
        return WebConfig()
    if listen.client_ca is None:
        return WebConfig(TlsOptions(Path(listen.certificate), Path(listen.key)))
    return WebConfig(
        TlsOptions(
            Path(listen.certificate), Path(listen.key), Path(listen.client_ca), ssl.CERT_REQUIRED
        )
    )
