"""XenStore, through pyxs and without its faults.

pyxs waits for ever when the daemon closes a connection in the middle of a
request, answers a request nobody made, or is stopped; it fails on None when its
reader closes the connection while a request is sent; it cannot select() on a
file descriptor from 1024 on; and it refuses values that are not 7-bit ASCII.
Here every operation has a deadline, a lost connection is made again once, and
values are UTF-8.
"""

import errno
import os
import stat
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Self, TypeVar

import pyxs  # type: ignore[import-untyped]
from pyxs._internal import (  # type: ignore[import-untyped]  # pyxs checks values only above this
    NUL,
    Op,
    Packet,
    next_rq_id,
)
from pyxs.connection import (  # type: ignore[import-untyped]
    UnixSocketConnection,
    XenBusConnection,
)
from pyxs.helpers import error  # type: ignore[import-untyped]

from xengt.errors import FailedError, UnmetError, XengtError

T = TypeVar("T")
#: What watched nodes tell: the path that changed; None: the connection is lost.
Events = SimpleQueue[str | None]

#: Where XenStore can be reached, the best first: the daemon's own socket is
#: there only in the domain that the daemon runs in.
PLACES = (
    Path("/run/xenstored/socket"),
    Path("/var/run/xenstored/socket"),
    Path("/dev/xen/xenbus"),
    Path("/proc/xen/xenbus"),
)
DEADLINE_S = 5.0
CLOSING_S = 1.0
#: select(2) takes no file descriptor from FD_SETSIZE on.
FD_SETSIZE = 1024

CHECK_DAEMON = (
    "See whether xenstored runs: `pgrep -a xenstored`, `systemctl status xen xenstored`; "
    "`xl list` needs it as well."
)


class XenStore:
    """One connection to XenStore, made when it is first needed.

    Args:
        place: the daemon's Unix socket or the xenbus device; None takes what
            this domain has.
        deadline_s: how long one operation may take, in seconds, with the
            connection it may have to make first.

    Raises:
        UnmetError: by any operation: there is no XenStore here, it has not
            answered yet, or it refuses.
        FailedError: by any operation: it answered before, and does not now.
    """

    def __init__(self, place: Path | None = None, deadline_s: float = DEADLINE_S) -> None:
        """Connect nothing yet: a domain may never need XenStore."""
        self._place = place
        self._deadline_s = deadline_s
        self._client: _Client | None = None
        self._answered = False

    def __enter__(self) -> Self:
        """Give the store itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection, if there is one; the next operation makes a new one."""
        client, self._client = self._client, None
        if client is not None:
            # pyxs joins its thread, which a daemon that stopped in mid-answer never ends
            with suppress(OSError, ValueError, pyxs.PyXSError):
                _within(CLOSING_S, client.close)

    def read(self, path: str) -> str | None:
        """Read a node's value; None when there is no such node.

        Args:
            path: from `/`, or relative to this domain's own directory.
        """
        value = self._ask(f"read {path}", lambda client: client.read(path.encode()))
        return None if value is None else value.decode(errors="replace")

    def children(self, path: str) -> list[str]:
        """List the names below a node; none when there is no such node."""
        names = self._ask(f"list {path}", lambda client: client.list(path.encode()))
        return [name.decode(errors="replace") for name in names or []]

    def exists(self, path: str) -> bool:
        """Tell whether there is such a node."""
        return self.read(path) is not None

    def write(self, path: str, value: str) -> None:
        """Write a node's value, making the node and its parents where they lack."""
        self._ask(f"write {path}", lambda client: client.write(path.encode(), value.encode()))

    def remove(self, path: str) -> None:
        """Remove a node and all below it; it may be gone already."""
        self._ask(f"remove {path}", lambda client: client.delete(path.encode()))

    def watch(self, path: str, events: Events) -> None:
        """Have a queue told of every change of a node, or below it; at once for the first time.

        When the connection is lost, so are its watches: the queue is told None, and
        whoever reads it watches again.

        Args:
            path: a node's, which need not be there, or `@introduceDomain`, `@releaseDomain`;
                watched by one queue at a time.
            events: takes the paths that changed.
        """
        self._ask(f"watch {path}", lambda client: client.watch(path.encode(), events))

    def unwatch(self, path: str) -> None:
        """End a watch; the queue may still be told of what changed before."""
        self._ask(f"unwatch {path}", lambda client: client.unwatch(path.encode()))

    def domids(self) -> list[int]:
        """List the domains XenStore knows, in ascending order."""
        names = self.children("/local/domain")
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def name_of(self, domid: int) -> str | None:
        """Read a domain's name."""
        return self.read(f"/local/domain/{domid}/name")

    def domid_of(self, name: str) -> int | None:
        """Find the domain of a name."""
        return next((domid for domid in self.domids() if self.name_of(domid) == name), None)

    def own_domid(self) -> int:
        """Read the domid of the domain this runs in."""
        domid = self.read("domid")
        if domid is None or not domid.isascii() or not domid.isdigit():
            raise UnmetError(
                f"XenStore does not say which domain this is (key domid: {domid!r})",
                "In dom0, /usr/lib/xen-*/bin/xen-init-dom0 writes it when Xen's services start.",
            )
        return int(domid)

    def _ask(self, what: str, operation: Callable[["_Client"], T]) -> T | None:
        """Do one operation before the deadline; None for a node that is not there."""
        end = time.monotonic() + self._deadline_s
        for last in (False, True):
            try:
                answer = _within(end - time.monotonic(), lambda: operation(self._connected()))
            except TimeoutError:
                self.close()
                silent = f"XenStore does not answer ({what} after {self._deadline_s:g} s)"
                raise self._error(silent) from None
            except (OSError, pyxs.PyXSError) as failure:
                if not _is_lost(failure):
                    self._answered = True
                    if failure.args[0] == errno.ENOENT:
                        return None
                    raise _refusal(what, failure) from failure
                self.close()
                if last:
                    lost = f"XenStore does not answer ({what}: {_words(failure)})"
                    raise self._error(lost) from failure
            else:
                self._answered = True
                return answer
        raise AssertionError(what)

    def _error(self, what: str) -> XengtError:
        """Tell a XenStore that never answered from one that has stopped to."""
        return (FailedError if self._answered else UnmetError)(what, CHECK_DAEMON)

    def _connected(self) -> "_Client":
        """Give the connection's client, connected."""
        if self._client is None:
            connection = _connection(self._place)
            connection.connect()
            client = _Client(router=_Router(connection))
            highest = max(connection.fileno(), client.router.r_terminator.fileno())
            if highest >= FD_SETSIZE:
                connection.close()
                raise UnmetError(
                    f"XenStore cannot be reached over file descriptor {highest}: "
                    f"this process has {FD_SETSIZE} or more files open",
                    "Open fewer domains and devices at once, or lower the limit: `ulimit -n 1024`.",
                )
            client.connect()
            self._client = client
        return self._client


class _Router(pyxs.Router):  # type: ignore[misc]
    """pyxs's reader thread, which tells those who wait when it ends.

    Args:
        connection: what it reads from.
    """

    def __init__(self, connection: UnixSocketConnection | XenBusConnection) -> None:
        super().__init__(connection)
        self._ended = False
        self.listeners: set[Events] = set()

    def __call__(self) -> None:
        # AttributeError: of a connection that the other thread has closed meanwhile;
        # TypeError: a watch's event of more than a path and a token
        lost = (OSError, ValueError, AttributeError, TypeError, struct.error, pyxs.PyXSError)
        with suppress(*lost):
            super().__call__()
        # the flag first: who registers after the loops below has to see it
        self._ended = True
        for answer in list(self.rvars.values()):
            answer.set(Packet(Op.ERROR, b"ECONNRESET" + NUL, 0))
        for events in list(self.listeners):
            events.put(None)

    def send(self, packet: Packet) -> pyxs.client.RVar:
        try:
            answer = super().send(packet)
        except AttributeError as closed:
            # By the reader's thread, after pyxs had looked whether it is open.
            if self.is_connected:
                raise
            raise error(errno.ECONNRESET) from closed
        if self._ended:
            raise error(errno.ECONNRESET)
        return answer


class _Subscriber:
    """What pyxs's reader tells of a watch, for a queue that knows nothing of pyxs."""

    def __init__(self, events: Events) -> None:
        self._events = events

    @property
    def events(self) -> Self:
        return self

    def put(self, event: pyxs.client.Event) -> None:
        self._events.put(event.path.decode(errors="replace"))


class _Client(pyxs.Client):  # type: ignore[misc]
    """pyxs's client for values of any bytes, where pyxs refuses all but 7-bit ASCII."""

    def watch(self, path: bytes, events: Events) -> None:
        """Watch; the path is the token as well, so that each has its own subscriber."""
        self.router.listeners.add(events)
        self.router.monitors[path] = [_Subscriber(events)]
        self.ack(Op.WATCH, path + NUL, path + NUL)

    def unwatch(self, path: bytes) -> None:
        self.router.monitors.pop(path, None)
        self.ack(Op.UNWATCH, path + NUL, path + NUL)

    def execute_command(self, op: int, *args: bytes) -> bytes:
        packet = self.router.send(Packet(op, b"".join(args), next_rq_id())).get()
        if packet.op == Op.ERROR:
            raise error(packet.payload[:-1])
        return bytes(packet.payload.rstrip(NUL))


def _connection(place: Path | None) -> UnixSocketConnection | XenBusConnection:
    """Choose how this domain reaches XenStore."""
    found = place or next((each for each in PLACES if each.exists()), None)
    if found is None:
        raise UnmetError(
            "there is no XenStore here (neither xenstored's socket nor /dev/xen/xenbus)",
            "Run this in a Xen dom0 or guest; in dom0, start Xen's services (systemctl start xen).",
        )
    # By the capabilities it has, too, which access(2) would not look at.
    if not os.access(found, os.R_OK | os.W_OK, effective_ids=True):
        lacks = "does not exist" if not found.exists() else "is not this user's to open"
        raise UnmetError(f"XenStore cannot be reached: {found} {lacks}", "Run this as root.")
    is_socket = stat.S_ISSOCK(found.stat().st_mode)
    return (UnixSocketConnection if is_socket else XenBusConnection)(str(found))


def _within(seconds: float, operation: Callable[[], T]) -> T:
    """Do an operation in a thread of its own, and wait for it so long at most.

    A thread that never comes back is left behind, a daemon thread: Python has
    no way to end it, and the process need not wait for it.

    Raises:
        TimeoutError: it did not end in time.
    """
    done: Future[T] = Future()

    def work() -> None:
        try:
            done.set_result(operation())
        except BaseException as failure:  # noqa: BLE001 - it is raised where it is waited for
            done.set_exception(failure)

    threading.Thread(target=work, daemon=True).start()
    return done.result(timeout=max(seconds, 0))


def _is_lost(failure: OSError | pyxs.PyXSError) -> bool:
    """Tell a connection that broke from an answer that is an error."""
    return (
        isinstance(failure, OSError | pyxs.ConnectionError) or failure.args[0] == errno.ECONNRESET
    )


def _refusal(what: str, failure: pyxs.PyXSError) -> UnmetError:
    """Say what XenStore answered, and what can be done about it."""
    remedies = {
        errno.EACCES: "Run this as root, and write below this domain's own `data` directory only.",
        errno.ENOSPC: "The domain has used up its quota of nodes: see `xenstore-ls` for what is.",
        errno.E2BIG: "More names are below this node than one answer of XenStore holds.",
    }
    return UnmetError(
        f"XenStore refuses to {what}: {_words(failure)}", remedies.get(failure.args[0], "")
    )


def _words(failure: OSError | pyxs.PyXSError) -> str:
    """Say a failure in words, which pyxs keeps in its last argument."""
    return str(failure.args[-1] if failure.args else failure)
