"""The server at the configured address, which this host may get after the agent has started."""

import logging
import socket
import time
from collections.abc import Callable

from xengt.errors import UnmetError
from xengt.serve.config import Listen
from xengt.serve.http import security
from xengt.serve.http.handler import Content
from xengt.serve.http.listener import AddressUnavailableError, open_listener, url_host
from xengt.serve.http.server import Server

log = logging.getLogger(__name__)

#: shortest and longest time between two attempts to listen, in seconds
_FIRST_PAUSE_S, _LAST_PAUSE_S = 1.0, 30.0


class Endpoint:
    """Where the agent listens, or waits for an address to listen on.

    Attributes:
        address: address and port, as in a URL; None while the agent waits.

    Args:
        listen: address and files.
        content: what is served.
        announce: called with the address whenever a server has begun to listen.

    Raises:
        UnmetError: a file cannot be used, or the address cannot be bound for a reason that time
            does not remove.
    """

    def __init__(self, listen: Listen, content: Content, announce: Callable[[str], None]) -> None:
        """Listen, or begin to wait if this host does not have the address yet."""
        self._content = content
        self._announce = announce
        self._listen = listen
        self._security = security.load(listen)
        self._server: Server | None = None
        #: those that still have connections
        self._replaced: list[Server] = []
        self.address: str | None = None
        self._problem = ""
        self._pause_s = _FIRST_PAUSE_S
        self._next_attempt = 0.0
        try:
            listener = open_listener(listen)
        except AddressUnavailableError as error:
            self._wait(error)
        else:
            self._serve(listener)

    @property
    def status(self) -> str:
        """Whether the agent listens, in words."""
        return f"listening on {self.address}" if self.address else f"waiting: {self._problem}"

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the next attempt to listen; None if there is none."""
        return None if self._server else max(0.0, self._next_attempt - time.monotonic())

    def prepare(self, listen: Listen) -> Callable[[], None]:
        """Open and read what other settings need, while the present ones stay in effect.

        Args:
            listen: the other settings.

        Returns:
            What puts them into effect, which does not fail.

        Raises:
            UnmetError: a file cannot be used, or the address cannot be bound now.
        """
        loaded = security.load(listen)
        listener = self._listener_for(listen)

        def switch() -> None:
            replaced = self._server
            self._listen, self._security = listen, loaded
            if listener is not None:
                self._serve(listener)
            if replaced is not None:
                replaced.stop()
                self._replaced.append(replaced)

        return switch

    def _listener_for(self, listen: Listen) -> socket.socket | None:
        """Return a listening socket; None while the agent waits for this same address."""
        if (listen.address, listen.port) != (self._listen.address, self._listen.port):
            return open_listener(listen, self._server.socket if self._server else None)
        return None if self._server is None else self._server.socket.dup()

    def tick(self) -> None:
        """Close connections that are overdue, try to listen, and start a dead thread again."""
        for each in self._replaced:
            each.connections.close_overdue()
        self._replaced = [each for each in self._replaced if len(each.connections)]
        if self._server is None:
            self._retry()
        elif not self._server.is_alive():
            log.error("the thread xengt-http has died: it is started again")
            self._server.start()

    def stop(self) -> None:
        """Close the server."""
        if self._server is not None:
            self._server.stop()

    def _retry(self) -> None:
        if time.monotonic() < self._next_attempt:
            return
        try:
            listener = open_listener(self._listen)
        except UnmetError as error:
            self._wait(error)
        else:
            self._serve(listener)
            log.info("listening on %s", self.address)

    def _wait(self, error: UnmetError) -> None:
        if error.what != self._problem:
            log.warning("%s; %s; the agent tries again until it can", error.what, error.remedy)
            self._problem = error.what
        self._next_attempt = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LAST_PAUSE_S)

    def _serve(self, listener: socket.socket) -> None:
        self._server = Server(listener, self._security, self._content)
        self._server.start()
        host, _, _ = url_host(self._listen).rpartition(":")
        self.address = f"{host}:{self._server.port}"
        self._announce(self.address)
