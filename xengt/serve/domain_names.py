"""The agent's connection to XenStore: names of domains, and the agent's own status.

A thread follows the names by watches and publishes the status. It reconnects when the
connection is lost, and then sets all watches and writes the status again: a restarted
xenstored has neither.
"""

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from xengt.recovery import domain_nodes
from xengt.serve.metrics import definitions
from xengt.serve.metrics.metric_families import MetricFamily, family, single
from xengt.xen.xenstore import XenStore
from xengt.xen.xenstore_thread import XenStoreThread

log = logging.getLogger(__name__)

#: directory of the status below this domain's own directory; every domain can read it
STATUS = "data/xengt/serve"
_SPECIAL_WATCHES = ("@introduceDomain", "@releaseDomain")
_NAME = re.compile(r"/local/domain/(\d+)/name")
#: time between two checks whether the status has changed, in seconds
_TICK_S = 1.0


class DomainNames(XenStoreThread):
    """The thread that follows XenStore until it is stopped, and a source of metrics.

    Domains that xengt created, which have no events of their own, are left out.

    Attributes:
        changes: domains introduced and released since the first connection.

    Args:
        status: returns what to write below `STATUS`, by name; called repeatedly.
    """

    def __init__(self, status: Callable[[], Mapping[str, str]]) -> None:
        """Prepare the thread; `start` starts it."""
        super().__init__("xengt-xenstore", logging.WARNING)
        self._status = status
        self._names: dict[int, str] = {}
        self._domids: set[int] | None = None
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

    def follow(self, store: XenStore) -> None:
        """Follow one connection until it is lost or the thread is stopped."""
        for each in _SPECIAL_WATCHES:
            store.watch(each, self.events)
        store.remove(STATUS)  # of an agent that was killed
        watched: set[int] = set()
        written: dict[str, str] = {}
        while not self.stopping.is_set():
            self._write_status(store, written)
            if not self.up:
                log.info("connected to XenStore")
                self.up = True
            path = self.next_change(_TICK_S)
            if path in _SPECIAL_WATCHES:
                self._list_domains(store, watched)
            elif path is not None and (match := _NAME.fullmatch(path)) is not None:
                self._read_name(store, int(match[1]))
        store.remove(STATUS)

    def _list_domains(self, store: XenStore, watched: set[int]) -> None:
        """List the domains, count the changes, and watch the names of exactly these domains."""
        listed = set(store.domids())
        ours = {each for each in listed - watched if domain_nodes.are_ours(store, each)}
        domids = listed - ours
        if self._domids is not None:
            self.changes["introduced"] += len(domids - self._domids)
            self.changes["released"] += len(self._domids - domids)
        self._domids = domids
        for domid in watched - domids:
            store.unwatch(_name_path(domid))
        for domid in domids - watched:
            # A new watch has an event at once, which reads the name.
            store.watch(_name_path(domid), self.events)
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
