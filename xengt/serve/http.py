"""The HTTP server of the agent: one thread for each connection, with optional TLS.

It replaces prometheus_client's server, which does TLS handshakes in the thread that accepts
all connections, compresses at zlib's slowest level, and serves only registries of its own.
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

#: Takes the Accept header of a request; returns a page and its content type.
RenderPage = Callable[[str], tuple[bytes, str]]
#: timeout for a client that sends nothing, within a request or between two, in seconds
_SILENCE_TIMEOUT_S = 60.0
#: takes half the time of zlib's default level, and the page is hardly larger
_COMPRESSION_LEVEL = 1
PATH = "/metrics"


class _Handler(BaseHTTPRequestHandler):
    """A connection, which may request any number of pages."""

    protocol_version = "HTTP/1.1"
    timeout = _SILENCE_TIMEOUT_S
    server: "_Server"

    def do_GET(self) -> None:
        """Send a page."""
        if self.path.partition("?")[0] != PATH:
            self.send_error(HTTPStatus.NOT_FOUND, f"metrics are served at {PATH}")
            return
        content, content_type = self.server.render_page(self.headers.get("Accept", ""))
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            content = gzip.compress(content, _COMPRESSION_LEVEL)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        if self.server.ended:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (as in the base)
        """Log a request at debug level only, because every scrape is one."""
        log.debug(format, *args)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listen: Listen, render_page: RenderPage) -> None:
        self.render_page = render_page
        self.tls = _tls_context(listen)
        self.ended = False
        self._open: set[socket.socket] = set()
        self._lock = Lock()  # protects _open, and ended together with it
        addresses = socket.getaddrinfo(listen.address, listen.port, type=socket.SOCK_STREAM)
        self.address_family, *_, address = addresses[0]
        super().__init__(address[:2], _Handler)  # type: ignore[arg-type]  # host and port

    def server_bind(self) -> None:
        """Bind without the DNS query of the base class for this machine's name."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 (as in the base)
        """Do the TLS handshake in the connection's thread: a slow client delays no other."""
        if self.tls is None:
            self._serve(request, client_address)
            return
        request.settimeout(_SILENCE_TIMEOUT_S)
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
        """Close the clients' connections, each after the page that is being sent on it.

        Prometheus reuses its connection as long as it can: without this it would still get pages
        of the old configuration after a reload.
        """
        with self._lock:
            self.ended = True
            for connection in self._open:
                with suppress(OSError):  # the client has closed it
                    # SSLSocket.shutdown() would continue in plain text.
                    socket.socket.shutdown(connection, socket.SHUT_RD)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002
        """Log why a connection failed."""
        log.info("scrape from %s failed: %r", client_address[0], sys.exc_info()[1])


@contextmanager
def http_server(listen: Listen, render_page: RenderPage) -> Iterator[str]:
    """Serve pages while the context lasts.

    Args:
        listen: address, port and TLS files.
        render_page: returns a page; called in the thread of a connection.

    Yields:
        The address and port, as in a URL.

    Raises:
        UnmetError: the address cannot be bound, or a TLS file is invalid.
    """
    try:
        server = _Server(listen, render_page)
    except OSError as error:
        raise UnmetError(
            f"cannot listen on {listen.address}:{listen.port}: {error.strerror or error}",
            "find the process that uses the port (`ss -ltnp`), or change listen.address or "
            "listen.port in the configuration",
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


def _tls_context(listen: Listen) -> ssl.SSLContext | None:
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
            f"cannot set up TLS with {files}: {error.strerror or error}",
            "provide a PEM certificate, its private key without a passphrase, and a PEM file with "
            "the CA certificates of the clients",
        ) from error
    return context
