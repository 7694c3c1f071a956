"""The threads of the server: one accepts connections, and each connection has one."""

import errno
import logging
import socket
import ssl
import sys
import time
from contextlib import suppress
from http.server import ThreadingHTTPServer
from threading import Thread
from typing import Any

from xengt.serve.http.connections import FIRST_REQUEST_S, LIMIT, Connections
from xengt.serve.http.handler import Content, Handler
from xengt.serve.http.security import Security

log = logging.getLogger(__name__)

_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n"
    b"Connection: close\r\n\r\n"
)
_NO_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
#: pause before the next attempt to accept a connection without resources, in seconds
_NO_RESOURCES_PAUSE_S = 0.5


class Server(ThreadingHTTPServer):
    """A server on a listening socket, which it closes when it is stopped.

    Args:
        listener: the socket, non-blocking.
        security: TLS, passwords and headers.
        content: what it serves.
    """

    daemon_threads = True

    def __init__(self, listener: socket.socket, security: Security, content: Content) -> None:
        """Serve nothing yet; `start` begins."""
        self.security = security
        self.content = content
        self.connections = Connections()
        self._refusing = False
        self._thread = Thread()
        super().__init__(listener.getsockname()[:2], Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener

    @property
    def port(self) -> int:
        """The TCP port."""
        return int(self.socket.getsockname()[1])

    def start(self) -> None:
        """Accept connections in a thread, a new one if the previous one has died."""
        self._thread = Thread(target=self.serve_forever, name="xengt-http", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # the caller finds that it is not alive
            log.error("cannot start the thread %s: %s", self._thread.name, error)  # noqa: TRY400

    def is_alive(self) -> bool:
        """Return whether the thread that accepts connections runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Stop accepting connections, and close each one after the page that is being sent."""
        if self.is_alive():
            self.shutdown()
            self._thread.join()
        self.server_close()
        self.connections.hang_up()

    # Called by the base class in the thread that accepts connections.

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection; without file descriptors, do not try again at once."""
        try:
            return super().get_request()
        except OSError as error:
            if error.errno in _NO_RESOURCES:
                log.error("cannot accept a connection: %s", error.strerror)  # noqa: TRY400
                time.sleep(_NO_RESOURCES_PAUSE_S)
            raise

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ANN401
        """Refuse a connection if requests are being answered on as many as may be open."""
        if self.connections.admit(request):
            self._refusing = False
            return True
        if not self._refusing and not self.connections.ended:
            self._refusing = True
            log.warning(
                "%d connections are in use: further ones, the first from %s, are refused",
                LIMIT,
                client_address[0],
            )
        if self.security.tls is None:
            with suppress(OSError):
                request.setblocking(False)
                request.send(_REFUSAL)
        return False

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Start the thread of a connection."""
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no more threads
            self.connections.remove(request)
            raise

    def service_actions(self) -> None:
        """Close connections that wait for too long; called twice a second."""
        self.connections.close_overdue()

    # Called by the base class in the thread of a connection, except after a failed start of it.

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Do the TLS handshake in the connection's thread: a slow client delays no other."""
        connection = request
        try:
            if (tls := self.security.tls) is not None:
                request.settimeout(FIRST_REQUEST_S)
                secure = tls.current().wrap_socket(
                    request, server_side=True, do_handshake_on_connect=False
                )
                self.connections.replace(request, secure)
                connection = secure
                secure.do_handshake()
                if not tls.is_allowed(secure):
                    raise ssl.SSLError("the client's certificate has none of the allowed names")
            super().finish_request(connection, client_address)
        finally:
            self.connections.remove(connection)
            if connection is not request:
                connection.close()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002
        """Log why a connection failed."""
        log.info("connection from %s failed: %r", client_address[0], sys.exc_info()[1])
