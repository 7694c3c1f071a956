"""The page over HTTP: one thread a connection, and TLS if wanted.

Not prometheus_client's server: that one shakes hands with a TLS client in the thread that
accepts all others, packs the page at zlib's slowest level, and has only its own registry.
"""

import gzip
import logging
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Lock, Thread
from typing import Any

from xengt.errors import UnmetError
from xengt.serve.config import Listen

log = logging.getLogger(__name__)

#: from what a client accepts to the page and its type
Answer = Callable[[str], tuple[bytes, str]]
#: seconds that a client may stay silent, in the middle of a request or between two
_PATIENCE_S = 60.0
#: Half as long as zlib's default, and the page hardly longer.
_LEVEL = 1
PATH = "/metrics"


class _Handler(BaseHTTPRequestHandler):
    """A connection: pages, for as long as the client asks."""

    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE_S
    server: "_Server"

    def do_GET(self) -> None:
        """Give the page."""
        if self.path.partition("?")[0] != PATH:
            self.send_error(HTTPStatus.NOT_FOUND, f"what is told is at {PATH}")
            return
        content, kind = self.server.page(self.headers.get("Accept", ""))
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            content = gzip.compress(content, _LEVEL)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        if self.server.ended:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base's word)
        """Say it where it does not fill a log: a scrape is nothing special."""
        log.debug(format, *args)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listen: Listen, page: Answer) -> None:
        self.page = page
        self.tls = _tls(listen)
        self.ended = False
        self._open: set[socket.socket] = set()
        self._lock = Lock()  # of the two above
        found = socket.getaddrinfo(listen.address, listen.port, type=socket.SOCK_STREAM)
        self.address_family, *_, address = found[0]
        super().__init__(address[:2], _Handler)  # type: ignore[arg-type]  # a text and a number

    def server_bind(self) -> None:
        """Bind, without the base's question to the DNS for this machine's name."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 (the base's)
        """Serve a connection, in its own thread: a client that is slow is slow for itself."""
        if self.tls is None:
            self._serve(request, client_address)
            return
        request.settimeout(_PATIENCE_S)
        with self.tls.wrap_socket(request, server_side=True) as secure:
            self._serve(secure, client_address)

    def _serve(self, connection: socket.socket, client_address: Any) -> None:  # noqa: ANN401
        with self._lock:
            if self.ended:
                return
            self._open.add(connection)
        try:
            super().finish_request(connection, client_address)
        finally:
            with self._lock:
                self._open.remove(connection)

    def hang_up(self) -> None:
        """Close the connections of clients, each after the page that it is being sent.

        Prometheus keeps its connection for as long as it can: after a reload it would be given the
        page of the old configuration for ever.
        """
        with self._lock:
            self.ended = True
            for connection in self._open:
                with suppress(OSError):  # the client was faster
                    # Not SSLSocket's own: that one would go on in plain text.
                    socket.socket.shutdown(connection, socket.SHUT_RD)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002
        """Say that a client went away or was no client, or what was wrong here."""
        log.info("a scrape from %s failed: %r", client_address[0], sys.exc_info()[1])


@contextmanager
def http_server(listen: Listen, page: Answer) -> Iterator[str]:
    """Serve the page for as long as the context lasts.

    Args:
        listen: where.
        page: makes it; called in the thread of a connection.

    Yields:
        The address and port, as a URL has them.

    Raises:
        UnmetError: the address cannot be had, or the certificate is none.
    """
    try:
        server = _Server(listen, page)
    except OSError as error:
        raise UnmetError(
            f"cannot listen on {listen.address}:{listen.port}: {error.strerror or error}",
            "see who does (`ss -ltnp`), or change listen in the configuration",
        ) from error
    thread = Thread(target=server.serve_forever, name="xengt-http", daemon=True)
    thread.start()
    host = f"[{listen.address}]" if ":" in listen.address else listen.address
    try:
        yield f"{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        server.hang_up()
        thread.join()


def _tls(listen: Listen) -> ssl.SSLContext | None:
    if listen.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(listen.certificate, listen.key)
        if listen.client_ca is not None:
            context.load_verify_locations(listen.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:  # ssl.SSLError is one
        files = ", ".join(filter(None, (listen.certificate, listen.key, listen.client_ca)))
        raise UnmetError(
            f"TLS cannot be had with {files}: {error.strerror or error}",
            "give a PEM certificate, its own key without a passphrase, and the clients' CA",
        ) from error
    return context
