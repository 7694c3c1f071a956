"""A pyxs client without the faults of pyxs, for `xengt.xen.xenstore`.

pyxs waits forever when the daemon closes a connection in the middle of a request,
answers a request that was not made, or is stopped; it fails on None when its reader
thread closes the connection while a request is sent; it rejects values that are
not 7-bit ASCII; and it takes an answer of more than 4096 bytes, as oxenstored sends
for a large directory, for the end of the connection. Here the reader thread reports
the end of a connection to everybody who waits for it, operations can have a timeout,
values are arbitrary bytes, and directories can have any size.
"""

import errno
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Self, TypeVar

import pyxs  # type: ignore[import-untyped]
from pyxs._internal import (  # type: ignore[import-untyped]  # pyxs checks values only above this
    NUL,
    Op,
    Packet,
    next_rq_id,
)
from pyxs.connection import PacketConnection  # type: ignore[import-untyped]
from pyxs.helpers import error  # type: ignore[import-untyped]

T = TypeVar("T")
#: Events of watched nodes: the path that changed, or None if the connection is lost.
Events = SimpleQueue[str | None]
#: XS_DIRECTORY_PART of Xen's public/io/xs_wire.h, which pyxs does not know
_DIRECTORY_PART = 22
_HEADER = struct.Struct("IIII")


def _packet(op: int, payload: bytes, request_id: int, transaction: int = 0) -> Packet:
    """Create a packet without pyxs' checks of its operation and its length."""
    return tuple.__new__(Packet, (op, request_id, transaction, len(payload), payload))


class _LargeAnswers(PacketConnection):  # type: ignore[misc]
    """A connection that accepts answers of any operation and length."""

    def recv(self) -> Packet:
        """Receive a packet."""
        op, request_id, transaction, size = _HEADER.unpack(self.transport.recv(_HEADER.size))
        # xenbus blocks when 0 bytes are read.
        payload = self.transport.recv(size) if size else b""
        return _packet(op, payload, request_id, transaction)


class UnixSocketConnection(_LargeAnswers, pyxs.connection.UnixSocketConnection):  # type: ignore[misc]
    """A connection to the daemon's socket."""


class XenBusConnection(_LargeAnswers, pyxs.connection.XenBusConnection):  # type: ignore[misc]
    """A connection through Linux's xenbus device."""


class Router(pyxs.Router):  # type: ignore[misc]
    """The reader thread of pyxs, which reports its end to waiting requests and watches.

    Args:
        connection: the connection it reads from.
    """

    def __init__(self, connection: UnixSocketConnection | XenBusConnection) -> None:
        """Create the thread; the client starts it."""
        super().__init__(connection)
        self._ended = False
        self.listeners: set[Events] = set()

    def __call__(self) -> None:
        """Read packets until the connection ends."""
        # AttributeError: another thread closed the connection;
        # TypeError: a watch event that is not a path and a token
        lost = (OSError, ValueError, AttributeError, TypeError, struct.error, pyxs.PyXSError)
        with suppress(*lost):
            super().__call__()
        # The flag is set first: requests that register after the loops must see it.
        self._ended = True
        for answer in list(self.rvars.values()):
            answer.set(Packet(Op.ERROR, b"ECONNRESET" + NUL, 0))
        for events in list(self.listeners):
            events.put(None)

    def send(self, packet: Packet) -> pyxs.client.RVar:
        """Send a request.

        Raises:
            pyxs.PyXSError: ECONNRESET if the connection is lost.
        """
        try:
            answer = super().send(packet)
        except AttributeError as closed:
            # The reader thread closed the connection after pyxs checked that it is open.
            if self.is_connected:
                raise
            raise error(errno.ECONNRESET) from closed
        except pyxs.ConnectionError:
            self._wake()
            raise
        if self._ended:
            raise error(errno.ECONNRESET)
        return answer

    def terminate(self) -> None:
        """End the reader thread, and wait for that.

        pyxs wakes it only if the connection is open. A failed request closes the connection, while
        the reader may be waiting for it, or for another file that has got its descriptor since.
        """
        self._wake()
        if self.thread.is_alive():
            self.thread.join()

    def _wake(self) -> None:
        with suppress(OSError):  # the thread has ended and has closed the socket
            self.w_terminator.sendall(NUL)


class _Subscriber:
    """Passes events of a watch from pyxs to a queue as paths."""

    def __init__(self, events: Events) -> None:
        self._events = events

    @property
    def events(self) -> Self:
        return self

    def put(self, event: pyxs.client.Event) -> None:
        self._events.put(event.path.decode(errors="replace"))


class Client(pyxs.Client):  # type: ignore[misc]
    """The client of pyxs for values of arbitrary bytes."""

    def watch(self, path: bytes, events: Events) -> None:
        """Watch a node; its path is also the token, so that each watch has its subscriber.

        Args:
            path: the node.
            events: receives the paths that changed.
        """
        self.router.listeners.add(events)
        self.router.monitors[path] = [_Subscriber(events)]
        self.ack(Op.WATCH, path + NUL, path + NUL)

    def unwatch(self, path: bytes) -> None:
        """End the watch of a node."""
        self.router.monitors.pop(path, None)
        self.ack(Op.UNWATCH, path + NUL, path + NUL)

    def list(self, path: bytes) -> list[bytes]:
        """Return the names of a node's children, in parts if they do not fit into one answer.

        Args:
            path: the node.

        Raises:
            pyxs.PyXSError: E2BIG if they do not fit and the daemon cannot send parts, as
                oxenstored over xenbus; else the error that the daemon answered with.
        """
        try:
            names = self.execute_command(Op.DIRECTORY, path + NUL)
        except pyxs.PyXSError as refusal:
            if refusal.args[0] != errno.E2BIG:
                raise
            names = self._list_in_parts(path, refusal)
        return [name for name in names.split(NUL) if name]

    def _list_in_parts(self, path: bytes, too_big: pyxs.PyXSError) -> bytes:
        """Return the names of a node's children, each with a NUL (XS_DIRECTORY_PART).

        An answer begins with the generation of the node, which changes with its children.
        The last part ends with an empty name.

        Args:
            path: the node.
            too_big: raised if the daemon does not know the request.
        """
        names = generation = b""
        while True:
            try:
                answer = self._answer(_DIRECTORY_PART, path + NUL, b"%d" % len(names) + NUL)
            except pyxs.PyXSError as refusal:
                # ENOSYS by xenstored, EINVAL by oxenstored
                unknown = refusal.args[0] in {errno.ENOSYS, errno.EINVAL}
                raise too_big if unknown else refusal from None
            found, _, part = answer.partition(NUL)
            if names and found != generation:
                names = b""
                continue
            generation = found
            names += part
            if not part or names == NUL or names.endswith(NUL + NUL):
                return names

    def execute_command(self, op: int, *args: bytes) -> bytes:
        """Send a request and return the payload of its answer without the NUL at its end.

        Raises:
            pyxs.PyXSError: the daemon answered with an error.
        """
        return self._answer(op, *args).rstrip(NUL)

    def _answer(self, op: int, *args: bytes) -> bytes:
        packet = self.router.send(_packet(op, b"".join(args), next_rq_id())).get()
        if packet.op == Op.ERROR:
            raise error(packet.payload[:-1])
        return bytes(packet.payload)


def run_with_timeout(seconds: float, operation: Callable[[], T]) -> T:
    """Run an operation in a thread, and wait for its end for a limited time.

    A thread that does not end is left behind as a daemon thread: Python cannot end
    it, and the process does not wait for it.

    Args:
        seconds: how long to wait.
        operation: the operation; its exceptions are raised here.

    Raises:
        TimeoutError: the operation did not end in time.
        OSError: EAGAIN if this process can start no further thread.
    """
    done: Future[T] = Future()

    def work() -> None:
        try:
            done.set_result(operation())
        except BaseException as failure:  # noqa: BLE001 - raised in the waiting thread
            done.set_exception(failure)

    try:
        threading.Thread(target=work, daemon=True).start()
    except RuntimeError as failure:
        # A service is limited by TasksMax=.
        raise OSError(errno.EAGAIN, "this process can start no further thread") from failure
    return done.result(timeout=max(seconds, 0))


def is_connection_lost(failure: OSError | pyxs.PyXSError) -> bool:
    """Return whether a failure is a broken connection, and not an error the daemon returned."""
    return (
        isinstance(failure, OSError | pyxs.ConnectionError) or failure.args[0] == errno.ECONNRESET
    )


def error_message(failure: OSError | pyxs.PyXSError) -> str:
    """Return the text of a failure, which pyxs stores as its last argument."""
    return str(failure.args[-1] if failure.args else failure)
