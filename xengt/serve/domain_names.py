"""The agent and XenStore: the names of domains, followed by watches, and its own status.

A thread keeps one connection, makes it again when it is lost, and then begins anew:
a xenstored that was restarted knows neither the watches nor what was written.
"""

import logging
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from queue import Empty

from xengt.errors import FailedError, XengtError
from xengt.serve.metrics.metric_families import MetricFamily, counter, one
from xengt.xen.xenstore import CHECK_DAEMON, Events, XenStore

log = logging.getLogger(__name__)

#: Where the status is, in this domain's own directory: readable by every domain.
STATUS = "data/xengt/serve"
_DOMAINS = ("@introduceDomain", "@releaseDomain")
_NAME = re.compile(r"/local/domain/(\d+)/name")
_DEADLINE_S = 2.0
#: between two looks at the status
_TICK_S = 1.0
#: between two tries to connect
_RETRY_S = 2.0
#: for a last answer: what is not taken back by then, the next agent takes back
_FAREWELL_S = 0.5


class DomainNames(threading.Thread):
    """Follows XenStore until it is told to stop.

    Attributes:
        up: whether XenStore answers.
        changes: domains that came (`introduced`) and went (`released`) meanwhile.

    Args:
        status: what to leave below `STATUS`, by name; asked again and again.
    """

    def __init__(self, status: Callable[[], Mapping[str, str]]) -> None:
        """Prepare; `start` begins."""
        super().__init__(name="xengt-xenstore", daemon=True)
        self._status = status
        self._stopping = threading.Event()
        self._events = Events()
        self._names: dict[int, str] = {}
        self._domids: set[int] | None = None
        self.up = False
        self.changes = Counter(introduced=0, released=0)

    def name_of(self, domid: int) -> str | None:
        """Return a domain's name, the last one known while XenStore is away."""
        return self._names.get(domid)

    def families(self) -> Iterable[MetricFamily]:
        """Yield how XenStore is, and how many domains came and went."""
        yield one("xengt_xenstore_up", "Whether XenStore answers.", int(self.up))
        yield counter(
            "xengt_domain_changes",
            "Domains that came into XenStore, and went, as its watches showed.",
            ("change",),
            [((change,), count) for change, count in sorted(self.changes.items())],
        )

    def stop(self) -> None:
        """Take the status back, if XenStore answers, and end."""
        self._stopping.set()
        self._events.put("")
        if self.is_alive():
            self.join(_FAREWELL_S)

    def run(self) -> None:
        """Follow; what fails is told once, and tried again."""
        told = False
        while not self._stopping.is_set():
            try:
                with XenStore(deadline_s=_DEADLINE_S) as store:
                    self._follow(store)
            except XengtError as error:
                if self.up or not told:
                    log.warning("%s; %s", error.what, error.remedy)
                self.up, told = False, True
                self._stopping.wait(_RETRY_S)

    def _follow(self, store: XenStore) -> None:
        """Follow one connection, until it is lost or this is to stop."""
        events = self._events = Events()
        for each in _DOMAINS:
            store.watch(each, events)
        store.remove(STATUS)  # of one that was killed
        watched: set[int] = set()
        written: dict[str, str] = {}
        while not self._stopping.is_set():
            self._write(store, written)
            if not self.up:
                log.info("XenStore answers")
                self.up = True
            with suppress(Empty):
                self._see(store, events.get(timeout=_TICK_S), watched)
        store.remove(STATUS)

    def _see(self, store: XenStore, path: str | None, watched: set[int]) -> None:
        """See what a watch is about."""
        if path is None:
            raise FailedError("the connection to XenStore is lost", CHECK_DAEMON)
        if path in _DOMAINS:
            self._list(store, watched)
        elif (named := _NAME.fullmatch(path)) is not None:
            self._read_name(store, int(named[1]))

    def _list(self, store: XenStore, watched: set[int]) -> None:
        """See which domains there are, and watch the names of just these."""
        now = set(store.domids())
        if self._domids is not None:
            self.changes["introduced"] += len(now - self._domids)
            self.changes["released"] += len(self._domids - now)
        self._domids = now
        for domid in watched - now:
            store.unwatch(_name_of(domid))
        for domid in now - watched:
            store.watch(_name_of(domid), self._events)  # which tells of it at once
        for domid in self._names.keys() - now:
            del self._names[domid]
        watched.clear()
        watched.update(now)

    def _read_name(self, store: XenStore, domid: int) -> None:
        name = store.name_of(domid)
        if name is None:
            self._names.pop(domid, None)
        else:
            self._names[domid] = name

    def _write(self, store: XenStore, written: dict[str, str]) -> None:
        """Write what of the status is not there yet, or has changed."""
        for name, value in self._status().items():
            if written.get(name) != value:
                store.write(f"{STATUS}/{name}", value)
                written[name] = value


def _name_of(domid: int) -> str:
    return f"/local/domain/{domid}/name"
