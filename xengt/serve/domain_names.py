"""The agent's connection to XenStore: names of domains, and the agent's own status.

A thread follows the names by watches and publishes the status. It reconnects when the
connection is lost, and then sets all watches and writes the status again: a restarted
xenstored has neither.
"""

import logging
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from queue import Empty

from xengt.errors import FailedError, XengtError
from xengt.serve.metrics import definitions
from xengt.serve.metrics.metric_families import MetricFamily, family, single
from xengt.xen.xenstore import CHECK_DAEMON, Events, XenStore

log = logging.getLogger(__name__)

#: directory of the status below this domain's own directory; every domain can read it
STATUS = "data/xengt/serve"
_SPECIAL_WATCHES = ("@introduceDomain", "@releaseDomain")
_NAME = re.compile(r"/local/domain/(\d+)/name")
#: longest wait for an answer of xenstored, in seconds
_DEADLINE_S = 2.0
#: time between two checks whether the status has changed, in seconds
_TICK_S = 1.0
#: time between two attempts to connect, in seconds
_RETRY_S = 2.0
#: longest wait for the removal of the status when the agent stops, in seconds; the next agent
#: removes what remains
_STOP_S = 0.5


class DomainNames(threading.Thread):
    """The thread that follows XenStore until it is stopped, and a source of metrics.

    Attributes:
        up: whether there is a working connection.
        changes: domains introduced and released since the first connection.

    Args:
        status: returns what to write below `STATUS`, by name; called repeatedly.
    """

    def __init__(self, status: Callable[[], Mapping[str, str]]) -> None:
        """Prepare the thread; `start` starts it."""
        super().__init__(name="xengt-xenstore", daemon=True)
        self._status = status
        self._stopping = threading.Event()
        self._events = Events()
        self._names: dict[int, str] = {}
        self._domids: set[int] | None = None
        self.up = False
        self.changes = Counter(introduced=0, released=0)

    def name_of(self, domid: int) -> str | None:
        """Return a domain's name; without a connection, the last known one."""
        return self._names.get(domid)

    def families(self) -> Iterable[MetricFamily]:
        """Yield the state of the connection and the counts of introduced and released domains."""
        yield single(definitions.XENSTORE_UP, int(self.up))
        yield family(
            definitions.DOMAIN_CHANGES,
            [((change,), count) for change, count in sorted(self.changes.items())],
        )

    def stop(self) -> None:
        """Tell the thread to remove the status and to end, and wait for it for a short time."""
        self._stopping.set()
        self._events.put("")
        if self.is_alive():
            self.join(_STOP_S)

    def run(self) -> None:
        """Follow XenStore; log the first of several failures in a row, and retry."""
        logged = False
        while not self._stopping.is_set():
            try:
                with XenStore(deadline_s=_DEADLINE_S) as store:
                    self._follow(store)
            except XengtError as error:
                if self.up or not logged:
                    log.warning("%s; %s", error.what, error.remedy)
                self.up, logged = False, True
                self._stopping.wait(_RETRY_S)

    def _follow(self, store: XenStore) -> None:
        """Follow one connection until it is lost or the thread is stopped."""
        events = self._events = Events()
        for each in _SPECIAL_WATCHES:
            store.watch(each, events)
        store.remove(STATUS)  # of an agent that was killed
        watched: set[int] = set()
        written: dict[str, str] = {}
        while not self._stopping.is_set():
            self._write_status(store, written)
            if not self.up:
                log.info("connected to XenStore")
                self.up = True
            with suppress(Empty):
                self._handle_event(store, events.get(timeout=_TICK_S), watched)
        store.remove(STATUS)

    def _handle_event(self, store: XenStore, path: str | None, watched: set[int]) -> None:
        """Handle the event of a watch; None stands for a lost connection."""
        if path is None:
            raise FailedError("the connection to XenStore is lost", CHECK_DAEMON)
        if path in _SPECIAL_WATCHES:
            self._list_domains(store, watched)
        elif (match := _NAME.fullmatch(path)) is not None:
            self._read_name(store, int(match[1]))

    def _list_domains(self, store: XenStore, watched: set[int]) -> None:
        """List the domains, count the changes, and watch the names of exactly these domains."""
        domids = set(store.domids())
        if self._domids is not None:
            self.changes["introduced"] += len(domids - self._domids)
            self.changes["released"] += len(self._domids - domids)
        self._domids = domids
        for domid in watched - domids:
            store.unwatch(_name_path(domid))
        for domid in domids - watched:
            # A new watch has an event at once, which reads the name.
            store.watch(_name_path(domid), self._events)
        for domid in self._names.keys() - domids:
            del self._names[domid]
        watched.clear()
        watched.update(domids)

    def _read_name(self, store: XenStore, domid: int) -> None:
        name = store.name_of(domid)
        if name is None:
            self._names.pop(domid, None)
        else:
            self._names[domid] = name

    def _write_status(self, store: XenStore, written: dict[str, str]) -> None:
        """Write the parts of the status that are new or have changed."""
        for name, value in self._status().items():
            if written.get(name) != value:
                store.write(f"{STATUS}/{name}", value)
                written[name] = value


def _name_path(domid: int) -> str:
    return f"/local/domain/{domid}/name"
