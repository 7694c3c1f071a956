"""A thread that follows nodes of XenStore and survives whatever ends its connection."""

import logging
import threading
from queue import Empty

from xengt.errors import FailedError, XengtError
from xengt.xen.xenstore import CHECK_DAEMON, Events, XenStore

log = logging.getLogger(__name__)

#: longest wait for an answer of xenstored, in seconds
DEADLINE_S = 2.0
#: time between two attempts to connect, in seconds
RETRY_S = 2.0
#: default of the longest wait for the end of the thread, in seconds
STOP_S = 0.5


class XenStoreThread(threading.Thread):
    """A thread that calls `follow` with a new connection whenever it has lost the last one.

    Attributes:
        up: whether `follow` has set up its connection and has not lost it.
        stopping: set by `stop`.
        events: the queue for the watches of the current connection.

    Args:
        name: of the thread.
        failure_level: log level for the first of several failures in a row.
        stop_s: longest wait of `stop` for the end of the thread, in seconds.
    """

    def __init__(self, name: str, failure_level: int, stop_s: float = STOP_S) -> None:
        """Prepare the thread; `start` starts it."""
        super().__init__(name=name, daemon=True)
        self._failure_level = failure_level
        self._stop_s = stop_s
        self.stopping = threading.Event()
        self.events = Events()
        self.up = False

    def follow(self, store: XenStore) -> None:
        """Follow nodes until the thread is stopped; sets `up` once that works.

        Args:
            store: a new connection, with no watches.

        Raises:
            XengtError: the connection is lost; any exception makes the thread connect again.
        """
        raise NotImplementedError

    def next_change(self, timeout_s: float | None = None) -> str | None:
        """Wait for the event of a watch.

        Args:
            timeout_s: longest wait in seconds; None: until there is an event.

        Returns:
            The path that changed; None after the timeout, or if the thread is to stop.

        Raises:
            FailedError: the connection is lost.
        """
        try:
            path = self.events.get(timeout=timeout_s)
        except Empty:
            return None
        if path is None:
            raise FailedError("the connection to XenStore is lost", CHECK_DAEMON)
        return path or None

    def stop(self) -> None:
        """Tell the thread to end, and wait for that for a short time."""
        self.stopping.set()
        self.events.put("")
        if self.is_alive():
            self.join(self._stop_s)

    def run(self) -> None:
        """Follow XenStore; log the first of several failures in a row, and retry."""
        logged = False
        while True:
            # Before the flag is read: `stop` sets the flag first, and then wakes up the queue.
            self.events = Events()
            if self.stopping.is_set():
                return
            try:
                with XenStore(deadline_s=DEADLINE_S) as store:
                    self.follow(store)
            except Exception as error:  # noqa: BLE001 - the thread must not end
                if self.up or not logged:
                    self._log(error)
                self.up, logged = False, True
                self.stopping.wait(RETRY_S)

    def _log(self, error: Exception) -> None:
        if isinstance(error, XengtError):
            log.log(self._failure_level, "%s; %s", error.what, error.remedy)
        else:
            log.log(
                self._failure_level,
                "thread %s failed and is going to try again: %r",
                self.name,
                error,
                exc_info=error,
            )
