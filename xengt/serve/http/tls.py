"""TLS of the server: contexts made from files, and made again once the files have changed."""

import logging
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xengt.errors import UnmetError

log = logging.getLogger(__name__)

_REMEDY = (
    "provide a PEM certificate, its private key without a passphrase, and a PEM file with "
    "the CA certificates of the clients"
)
#: OpenSSL's codes (X509_V_ERR_*) for a certificate that is not yet valid, or no longer
_NOT_VALID_NOW = {9, 10}


@dataclass(frozen=True)
class TlsOptions:
    """How the server uses TLS.

    Attributes:
        certificate: PEM file with the server certificate and its intermediate certificates.
        key: PEM file with the private key of the certificate.
        client_ca: PEM file with the CA certificates that must have signed a client's.
        verify_clients: whether clients may or must have a certificate.
        allowed_sans: subject alternative names of which a client's certificate must have one;
            empty for any.
        oldest, newest: TLS versions.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    verify_clients: ssl.VerifyMode = ssl.CERT_NONE
    allowed_sans: frozenset[str] = frozenset()
    oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    newest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that a context is made from."""
        return tuple(filter(None, (self.certificate, self.key, self.client_ca)))


class RenewedContext:
    """A TLS context that follows its files.

    Args:
        options: files and versions.

    Raises:
        UnmetError: a file cannot be read or used, or the key is not the certificate's.
    """

    def __init__(self, options: TlsOptions) -> None:
        """Create the first context."""
        self.options = options
        self._lock = threading.Lock()
        # Read before the files, so that a change while they are being read is noticed later.
        self._states = _states(options)
        self._context = create_context(options)
        _warn_if_not_valid(options)

    def current(self) -> ssl.SSLContext:
        """Return the context for the next handshake.

        If the files have changed it is made of the new ones. If these cannot be used, for example
        because only one of certificate and key has been replaced yet, the previous context stays
        in use; the error is logged once for each change.
        """
        with self._lock:
            if (states := _states(self.options)) != self._states:
                self._states = states
                try:
                    self._context = create_context(self.options)
                except UnmetError as error:
                    log.error(  # noqa: TRY400
                        "the TLS files have changed, but the previous ones stay in use: %s; %s",
                        error.what,
                        error.remedy,
                    )
                else:
                    log.info("the new TLS certificate %s is in use", self.options.certificate)
                    _warn_if_not_valid(self.options)
            return self._context

    def is_allowed(self, secure: ssl.SSLSocket) -> bool:
        """Return whether a client's certificate has one of the required names.

        Args:
            secure: the connection, after the handshake.
        """
        allowed = self.options.allowed_sans
        return not allowed or not allowed.isdisjoint(_names(secure))


def create_context(options: TlsOptions) -> ssl.SSLContext:
    """Create a TLS context.

    Args:
        options: files and versions.

    Raises:
        UnmetError: a file cannot be read or used, or the key is not the certificate's.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = options.oldest, options.newest
    try:
        # Without a password, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(options.certificate, options.key, password="")
        if options.client_ca is not None:
            context.load_verify_locations(options.client_ca)
        context.verify_mode = options.verify_clients
    except OSError as error:  # ssl.SSLError is one
        files = ", ".join(map(str, options.files))
        reason = "the key is not the certificate's" if _is_mismatch(error) else error.strerror
        raise UnmetError(f"cannot set up TLS with {files}: {reason or error}", _REMEDY) from error
    return context


def validity_problem(options: TlsOptions) -> str | None:
    """Return OpenSSL's words if the certificate is not valid now, otherwise None.

    The ssl module cannot read the dates of a certificate, so a client that trusts this
    certificate does a handshake with a server in memory.

    Args:
        options: files, of which a context can be made.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(options.certificate, options.key, password="")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(options.certificate)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(10):  # a handshake takes three
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return error.verify_message if error.verify_code in _NOT_VALID_NOW else None
            except ssl.SSLError:
                return None
    return None


def _warn_if_not_valid(options: TlsOptions) -> None:
    if (problem := validity_problem(options)) is not None:
        log.warning("clients will reject the certificate %s: %s", options.certificate, problem)


def _is_mismatch(error: OSError) -> bool:
    return isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH"


def _states(options: TlsOptions) -> tuple[tuple[int, ...] | None, ...]:
    """Return what changes when a file is written or replaced; None for one that is missing."""
    return tuple(map(_state, options.files))


def _state(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    # The time of the last change of the inode also shows a copy with the old modification time.
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _names(secure: ssl.SSLSocket) -> Iterator[str]:
    """Yield the subject alternative names of the client's certificate."""
    certificate: Mapping[str, Any] = secure.getpeercert() or {}
    for _, name in certificate.get("subjectAltName", ()):
        yield str(name)
