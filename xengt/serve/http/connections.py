"""The open connections of the server: their number and their waiting times are limited.

A connection waits for a request, which includes the TLS handshake, or a request of it is being
answered. When all places are taken, the connection that has to be closed soonest makes room; a
new connection is refused only while requests are being answered on all others.
"""

import socket
import threading
import time
from contextlib import suppress

#: well below TasksMax= of the unit, because each connection has a thread
LIMIT = 32
#: time for the TLS handshake and the first request, in seconds
FIRST_REQUEST_S = 10.0
#: time until the end of the next request, in seconds
NEXT_REQUEST_S = 60.0
#: longest wait for a connection that has been closed to make room, in seconds
_EVICTION_S = 1.0


class Connections:
    """The connections of one server; all methods may be called in any thread.

    Attributes:
        ended: whether each connection is closed after the next answer.
    """

    def __init__(self) -> None:
        """Begin without connections."""
        #: when to close a connection that waits; None while a request is being answered
        self._deadlines: dict[socket.socket, float | None] = {}
        #: those of which a request has been answered or is being answered
        self._answered: set[socket.socket] = set()
        self._changed = threading.Condition()
        self.ended = False

    def __len__(self) -> int:
        """Return how many connections are open."""
        return len(self._deadlines)

    def admit(self, connection: socket.socket) -> bool:
        """Add a new connection, and return whether there is a place for it."""
        with self._changed:
            if len(self._deadlines) >= LIMIT:
                self._make_room()
            if self.ended or len(self._deadlines) >= LIMIT:
                return False
            self._deadlines[connection] = time.monotonic() + FIRST_REQUEST_S
            return True

    def _make_room(self) -> None:
        waiting = {each: when for each, when in self._deadlines.items() if when is not None}
        if waiting:
            _close(min(waiting, key=lambda each: waiting[each]), socket.SHUT_RDWR)
            self._changed.wait_for(lambda: len(self._deadlines) < LIMIT, _EVICTION_S)

    def replace(self, connection: socket.socket, secure: socket.socket) -> None:
        """Put the TLS socket of a connection in the place of its plain one."""
        with self._changed:
            self._deadlines[secure] = self._deadlines.pop(connection)

    def remove(self, connection: socket.socket) -> None:
        """Remove a connection that is about to be closed."""
        with self._changed:
            self._deadlines.pop(connection, None)
            self._answered.discard(connection)
            self._changed.notify_all()

    def begin_answer(self, connection: socket.socket) -> None:
        """Stop the time of a connection whose request is complete."""
        with self._changed:
            self._deadlines[connection] = None
            self._answered.add(connection)

    def end_answer(self, connection: socket.socket) -> None:
        """Start the time for the next request."""
        with self._changed:
            self._deadlines[connection] = time.monotonic() + NEXT_REQUEST_S

    def close_overdue(self) -> None:
        """Close the connections that have waited too long; to be called now and then."""
        now = time.monotonic()
        with self._changed:
            for each, when in self._deadlines.items():
                if when is not None and when < now:
                    _close(each, socket.SHUT_RDWR)

    def hang_up(self) -> None:
        """Close the connections, each after the page that is being sent on it.

        Prometheus reuses its connection as long as it can: without this it would still get pages
        of the old configuration after a reload. A connection that has had no answer yet gets
        one, because its client may not try again, or is closed when its time is over.
        """
        with self._changed:
            self.ended = True
            for each in self._answered:
                _close(each, socket.SHUT_RD)


def _close(connection: socket.socket, how: int) -> None:
    """End the wait of the thread that has a connection, which then closes it."""
    with suppress(OSError):  # the client has closed it
        # SSLSocket.shutdown() would continue in plain text.
        socket.socket.shutdown(connection, how)
