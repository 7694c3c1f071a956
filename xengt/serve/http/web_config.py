"""The web configuration file of Prometheus' exporters.

exporter-toolkit describes it in docs/web-configuration.md.

Keys that Python's ssl module or this server cannot implement are errors, because ignoring one could
leave a connection unprotected.
"""

import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xengt.errors import UnmetError
from xengt.serve.http.basic_auth import HASH
from xengt.serve.http.tls import TlsOptions

_MANUAL = "see xengt-serve.toml(5), and docs/web-configuration.md of exporter-toolkit"
_VERIFY_CLIENTS = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_HEADERS = (
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
)
#: without control characters, which could begin another header
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")


@dataclass(frozen=True)
class WebConfig:
    """A web configuration.

    Attributes:
        tls: None for plain HTTP.
        users: user → bcrypt hash; empty without authentication.
        headers: HTTP headers of every answer.
    """

    tls: TlsOptions | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def load(path: Path) -> WebConfig:
    """Read and validate a web configuration.

    Args:
        path: of the YAML file; paths in it are relative to its directory.

    Raises:
        UnmetError: PyYAML is missing, the file cannot be read, or a key is unknown, not supported
            or has an invalid value; names the key.
    """
    try:
        import yaml  # noqa: PLC0415 (needed only with a web configuration)
    except ImportError as error:
        raise UnmetError(
            "listen.web_config requires the Python module yaml, which is not installed",
            "install it: apt install python3-yaml, or pip install PyYAML",
        ) from error
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnmetError(f"{path} cannot be read: {error.strerror}", _MANUAL) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UnmetError(f"{path} is not YAML: {' '.join(str(error).split())}", _MANUAL) from error
    try:
        return _web_config(content, path.parent)
    except ValueError as error:
        raise UnmetError(f"{path}: {error}", _MANUAL) from error


def _web_config(content: object, directory: Path) -> WebConfig:
    tables = _table("", content, ("tls_server_config", "http_server_config", "basic_auth_users"))
    http = _table("http_server_config", tables.get("http_server_config"), ("http2", "headers"))
    # HTTP/2 is only permitted, never required: clients use HTTP/1.1 if the server does.
    _optional(http, "http_server_config", "http2", _boolean, None)
    return WebConfig(
        _tls(tables.get("tls_server_config"), directory),
        _users(tables.get("basic_auth_users")),
        _headers(http.get("headers")),
    )


def _tls(content: object, directory: Path) -> TlsOptions | None:
    name = "tls_server_config"
    table = _table(
        name,
        content,
        (
            *("cert_file", "key_file", "client_auth_type", "client_ca_file", "client_allowed_sans"),
            *("min_version", "max_version", "prefer_server_cipher_suites"),
        ),
    )
    if not table:
        return None

    def file(key: str, value: object) -> Path:
        return directory / _string(key, value)

    certificate = _optional(table, name, "cert_file", file, None)
    key = _optional(table, name, "key_file", file, None)
    if certificate is None or key is None:
        raise ValueError(f"{name} requires cert_file and key_file")
    verify = _optional(table, name, "client_auth_type", _one_of(_VERIFY_CLIENTS), ssl.CERT_NONE)
    client_ca = _optional(table, name, "client_ca_file", file, None)
    if (verify == ssl.CERT_NONE) != (client_ca is None):
        raise ValueError(
            f"{name}.client_ca_file and a client_auth_type that verifies certificates must be set "
            "together"
        )
    sans = _optional(table, name, "client_allowed_sans", _strings, ())
    if sans and verify != ssl.CERT_REQUIRED:
        raise ValueError(
            f"{name}.client_allowed_sans requires client_auth_type: RequireAndVerifyClientCert"
        )
    # As in exporter-toolkit, this has no effect any more.
    _optional(table, name, "prefer_server_cipher_suites", _boolean, None)
    return TlsOptions(
        certificate,
        key,
        client_ca,
        verify,
        frozenset(sans),
        _optional(table, name, "min_version", _one_of(_VERSIONS), ssl.TLSVersion.TLSv1_2),
        _optional(table, name, "max_version", _one_of(_VERSIONS), ssl.TLSVersion.MAXIMUM_SUPPORTED),
    )


def _users(content: object) -> dict[str, str]:
    users = _table("basic_auth_users", content)
    for user, each in users.items():
        if ":" in user:
            raise ValueError(f"basic_auth_users: the user name {user!r} must not contain a colon")
        if not isinstance(each, str) or not HASH.fullmatch(each):
            raise ValueError(
                f"basic_auth_users: the password of {user!r} must be a bcrypt hash "
                "(`htpasswd -nB USER` prints one)"
            )
    return users


def _headers(content: object) -> dict[str, str]:
    headers = _table("http_server_config.headers", content, _HEADERS)
    for name, value in headers.items():
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            raise ValueError(
                f"http_server_config.headers.{name} must be one line of ASCII, not {value!r}"
            )
    return headers


def _table(name: str, content: object, known: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Return a mapping of strings; without one, an empty one."""
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ValueError(f"{name or 'the file'} must be a mapping with strings as keys")
    for key in content:
        if known is not None and key not in known:
            path = f"{name}.{key}" if name else key
            raise ValueError(f"{path} is unknown or not supported: use {', '.join(known)}")
    return content


def _optional(
    table: Mapping[str, Any],
    name: str,
    key: str,
    convert: Callable[[str, object], Any],
    default: Any,  # noqa: ANN401 (what convert returns)
) -> Any:  # noqa: ANN401
    return convert(f"{name}.{key}", table[key]) if key in table else default


def _string(key: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} must be a non-empty string, not {value!r}")
    return value


def _strings(key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{key} must be a list, not {value!r}")  # noqa: TRY004 (of a file)
    return tuple(_string(f"{key}[{index}]", each) for index, each in enumerate(value))


def _boolean(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{key} must be true or false, not {value!r}")  # noqa: TRY004
    return value


def _one_of(choices: Mapping[str, Any]) -> Callable[[str, object], Any]:
    def convert(key: str, value: object) -> Any:  # noqa: ANN401
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{key} must be one of {', '.join(choices)}, not {value!r}")
        return choices[value]

    return convert
