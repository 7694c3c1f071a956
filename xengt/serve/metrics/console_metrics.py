"""Events that Xen reports on its console only."""

import logging
import re
from collections import Counter
from collections.abc import Iterator

from xengt.serve.metrics import definitions
from xengt.serve.metrics.metric_families import MetricFamily, family, single
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import BindingError

log = logging.getLogger(__name__)

#: Lines of Xen 4.17 to 4.22, in common/domain.c and common/grant_table.c; the groups have the
#: names of the events. Lines of guests begin with "(d7)".
_EVENT = re.compile(
    rb"^\(XEN\) (?:\[[^]\n]*\] )?(?:"
    rb"(?P<domain_crashed>Domain \d+ (?:\(vcpu#\d+\)|reported) crashed )"
    rb"|\S+grant_table\.c:\d+:\S+ (?:"
    rb"(?P<grant_table_expanded>Expanding d\d+ grant table )"
    rb"|(?P<maptrack_exhausted>Failed to obtain maptrack handle)"
    rb"))",
    re.MULTILINE,
)
EVENTS = tuple(_EVENT.groupindex)
#: longest beginning of a line that is kept until its end is read; Xen's lines are shorter
_LONGEST_LINE = 1024


class ConsoleMetrics:
    """Source of the events in Xen's console ring, from which each scrape reads what is new.

    The ring is not cleared. The first scrape only finds its end, so that an agent that has
    restarted does not count an event again.
    """

    def __init__(self) -> None:
        """Read nothing yet."""
        self._xen: Ctrl | None = None
        self._position: int | None = None
        self._unfinished = b""
        self._events = Counter(dict.fromkeys(EVENTS, 0))
        self._lost = 0
        self._up = True

    def families(self) -> Iterator[MetricFamily]:
        """Read the ring and yield the counts; the first of several failures in a row is logged."""
        try:
            self._read()
        except BindingError as error:
            if self._up:
                log.warning("cannot read Xen's console ring: %s", error)
            self._up, self._xen = False, None
        else:
            self._up = True
        yield single(definitions.CONSOLE_UP, int(self._up))
        yield family(
            definitions.CONSOLE_EVENTS, [((event,), self._events[event]) for event in EVENTS]
        )
        yield single(definitions.CONSOLE_LOST, self._lost)

    def _read(self) -> None:
        if self._xen is None:
            self._xen = Ctrl()
        text, end, lost = self._xen.console_from(self._position)
        if self._position is not None:
            self._lost += lost
            self._count(self._unfinished + text)
        self._position = end

    def _count(self, text: bytes) -> None:
        """Count the events in the lines that are complete, and keep the last one."""
        complete, newline, unfinished = text.rpartition(b"\n")
        self._events.update(str(each.lastgroup) for each in _EVENT.finditer(complete + newline))
        self._unfinished = unfinished[:_LONGEST_LINE]
