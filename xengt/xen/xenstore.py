"""XenStore: nodes, domains and watches, with a deadline for every operation.

A lost connection is made again once per operation, and values are UTF-8.
"""

import errno
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import pyxs  # type: ignore[import-untyped]

from xengt.errors import FailedError, UnmetError, XengtError
from xengt.xen.domain_name import printable
from xengt.xen.pyxs_client import (
    Client,
    Events,
    Router,
    UnixSocketConnection,
    XenBusConnection,
    error_message,
    is_connection_lost,
    run_with_timeout,
)
from xenlib_cffi import device_paths

__all__ = ["CHECK_DAEMON", "Events", "XenStore"]

T = TypeVar("T")

#: Sockets and devices of XenStore in order of preference. The daemon's socket exists only in
#: the domain that the daemon runs in.
PATHS = (
    Path("/run/xenstored/socket"),
    Path("/var/run/xenstored/socket"),
    Path(device_paths.XENBUS),
    Path("/proc/xen/xenbus"),
)
DEADLINE_S = 5.0
CLOSE_TIMEOUT_S = 1.0
#: select(2), which pyxs uses, accepts no file descriptor from FD_SETSIZE on.
FD_SETSIZE = 1024

CHECK_DAEMON = (
    "check that xenstored runs: `pgrep -a xenstored`, `systemctl status xen xenstored`; "
    "`xl list` needs it as well"
)


class XenStore:
    """A connection to XenStore, made by the first operation.

    Args:
        path: the daemon's Unix socket or the xenbus device; None selects the first
            of `PATHS` that exists.
        deadline_s: maximum duration of one operation in seconds, including the
            connection if the operation makes it.

    Raises:
        UnmetError: by any operation: XenStore does not exist here, has not answered
            yet, or rejects the request.
        FailedError: by any operation: XenStore answered earlier and does not now.
    """

    def __init__(self, path: Path | None = None, deadline_s: float = DEADLINE_S) -> None:
        """Store the arguments; the first operation connects."""
        self._path = path
        self._deadline_s = deadline_s
        self._client: Client | None = None
        self._answered = False

    def __enter__(self) -> Self:
        """Return the store itself."""
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
        """Close the connection if there is one; the next operation connects again."""
        client, self._client = self._client, None
        if client is not None:
            # pyxs joins its reader thread, which never ends if the daemon stopped in mid-answer.
            with suppress(OSError, ValueError, pyxs.PyXSError):
                run_with_timeout(CLOSE_TIMEOUT_S, client.close)

    def read(self, path: str) -> str | None:
        """Return the value of a node; None if the node does not exist.

        Args:
            path: absolute, or relative to the directory of this domain.
        """
        value = self._read(path)
        return None if value is None else value.decode(errors="replace")

    def _read(self, path: str) -> bytes | None:
        return self._request(f"read {path}", lambda client: client.read(path.encode()))

    def children(self, path: str) -> list[str]:
        """Return the names of a node's children; empty if the node does not exist."""
        names = self._request(f"list {path}", lambda client: client.list(path.encode()))
        return [name.decode(errors="replace") for name in names or []]

    def exists(self, path: str) -> bool:
        """Return whether a node exists."""
        return self.read(path) is not None

    def write(self, path: str, value: str) -> None:
        """Write the value of a node, creating the node and its parents if needed."""
        self._request(f"write {path}", lambda client: client.write(path.encode(), value.encode()))

    def remove(self, path: str) -> None:
        """Remove a node and its children; the node need not exist."""
        self._request(f"remove {path}", lambda client: client.delete(path.encode()))

    def watch(self, path: str, events: Events) -> None:
        """Report every change of a node or its children to a queue; the first event is immediate.

        Watches do not outlive their connection: when it is lost, the queue receives
        None, and its reader must watch again.

        Args:
            path: a node, which need not exist, or `@introduceDomain`, `@releaseDomain`;
                watched by one queue at a time.
            events: receives the paths that changed.
        """
        self._request(f"watch {path}", lambda client: client.watch(path.encode(), events))

    def unwatch(self, path: str) -> None:
        """End a watch; the queue may still receive earlier changes."""
        self._request(f"unwatch {path}", lambda client: client.unwatch(path.encode()))

    def domids(self) -> list[int]:
        """Return the domids of all domains in XenStore, in ascending order."""
        names = self.children("/local/domain")
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def name_of(self, domid: int) -> str | None:
        """Return the name of a domain as `domain_name.printable`; None if it has no name."""
        name = self._read(f"/local/domain/{domid}/name")
        return None if name is None else printable(name)

    def domid_of(self, name: str) -> int | None:
        """Return the domid of the domain with a name; None if there is no such domain.

        Args:
            name: the name itself, or as `name_of` returns it.
        """
        forms = {name, printable(os.fsencode(name))}
        return next((domid for domid in self.domids() if self.name_of(domid) in forms), None)

    def own_domid(self) -> int:
        """Return the domid of the domain this process runs in."""
        domid = self.read("domid")
        if domid is None or not domid.isascii() or not domid.isdigit():
            raise UnmetError(
                f"XenStore does not report the domid of this domain (key domid: {domid!r})",
                "start Xen's services (systemctl start xen): xen-init-dom0 then writes this key",
            )
        return int(domid)

    def _request(self, what: str, operation: Callable[[Client], T]) -> T | None:
        """Perform one operation before the deadline.

        Args:
            what: verb and path, for error messages.
            operation: the operation on the connected client.

        Returns:
            The result of the operation; None if the node does not exist.
        """
        end = time.monotonic() + self._deadline_s
        for is_last_attempt in (False, True):
            try:
                answer = run_with_timeout(
                    end - time.monotonic(), lambda: operation(self._connected())
                )
            except TimeoutError:
                self.close()
                timed_out = f"XenStore does not answer ({what} after {self._deadline_s:g} s)"
                raise self._error(timed_out) from None
            except (OSError, pyxs.PyXSError) as failure:
                if not is_connection_lost(failure):
                    self._answered = True
                    if failure.args[0] == errno.ENOENT:
                        return None
                    raise _refusal(what, failure) from failure
                self.close()
                if is_last_attempt:
                    lost = f"XenStore does not answer ({what}: {error_message(failure)})"
                    raise self._error(lost) from failure
            else:
                self._answered = True
                return answer
        raise AssertionError(what)

    def _error(self, what: str) -> XengtError:
        """Return a FailedError if XenStore answered earlier, else an UnmetError."""
        return (FailedError if self._answered else UnmetError)(what, CHECK_DAEMON)

    def _connected(self) -> Client:
        """Return the client, connected."""
        if self._client is None:
            connection = _connection(self._path)
            connection.connect()
            try:
                self._client = _start_client(connection)
            except BaseException:
                connection.close()
                raise
        return self._client


def _start_client(connection: UnixSocketConnection | XenBusConnection) -> Client:
    """Start the client of an open connection."""
    client = Client(router=Router(connection))
    highest = max(connection.fileno(), client.router.r_terminator.fileno())
    if highest >= FD_SETSIZE:
        raise UnmetError(
            f"XenStore cannot be reached over file descriptor {highest}: "
            f"this process has {FD_SETSIZE} or more files open",
            "use fewer --granters or --threads in one run",
        )
    client.connect()
    return client


def _connection(path: Path | None) -> UnixSocketConnection | XenBusConnection:
    """Choose the connection over which this domain reaches XenStore."""
    found = path or next((each for each in PATHS if each.exists()), None)
    if found is None:
        raise UnmetError(
            "XenStore does not exist here: neither xenstored's socket nor "
            f"{device_paths.XENBUS} is present",
            "run xengt in a Xen dom0 or guest; in dom0, start Xen's services (systemctl start xen)",
        )
    # By effective ids, so that capabilities count, which a plain access(2) ignores.
    if not os.access(found, os.R_OK | os.W_OK, effective_ids=True):
        reason = "is not accessible to this user" if found.exists() else "does not exist"
        raise UnmetError(f"XenStore cannot be reached: {found} {reason}", "run xengt as root")
    is_socket = stat.S_ISSOCK(found.stat().st_mode)
    return (UnixSocketConnection if is_socket else XenBusConnection)(str(found))


def _refusal(what: str, failure: pyxs.PyXSError) -> UnmetError:
    """Explain an error that XenStore returned."""
    remedies = {
        errno.EACCES: "run xengt as root, and write only below this domain's `data` directory",
        errno.ENOSPC: "the domain has reached its quota of nodes: `xenstore-ls` lists them",
        errno.E2BIG: "the node has more children than fit into one answer, and this xenstored "
        "cannot send them in parts: run xengt where xenstored's socket is, or use xenstored "
        "instead of oxenstored",
    }
    return UnmetError(
        f"XenStore refuses to {what}: {error_message(failure)}",
        remedies.get(failure.args[0], ""),
    )
