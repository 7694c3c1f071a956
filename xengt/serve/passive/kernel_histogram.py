"""The kernel's histogram of calls, read: the file `hist` of an event in tracefs.

A line of it, made by print_entries() of Linux's kernel/trace/trace_events_hist.c:

{ caller: [ffffffffc0434a6c] xenvif_tx_action [xen_netback] , ns: ~ 2^17 } hitcount: 261 ns: ...
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_ENTRY = re.compile(
    r"\{ caller: \[(?P<address>[0-9a-f]+)\] (?P<symbol>\S+)(?: \[(?P<module>\w+)\])? *"
    r", ns: ~ 2\^(?P<power>\d+) *"
    r"\} hitcount: +(?P<calls>\d+) +ns: +(?P<ns>\d+) +refs: +(?P<references>\d+)"
)


class HistogramEntry(NamedTuple):
    """Calls from one place, of about one length.

    Attributes:
        address: that they return to, or of the function called when they are done.
        symbol: the function it is in; the address again where there is none.
        module: that has the function; empty: the kernel itself.
        power: the calls took at most 2 to this nanoseconds, and more than half of that.
        calls: how many.
        ns: nanoseconds of all of them.
        references: of all of them.
    """

    address: int
    symbol: str
    module: str
    power: int
    calls: int
    ns: int
    references: int


def entries(text: str) -> Iterator[HistogramEntry]:
    """Yield what the histogram has.

    Args:
        text: of the file.
    """
    for found in _ENTRY.finditer(text):
        numbers = (int(found[name]) for name in ("power", "calls", "ns", "references"))
        yield HistogramEntry(
            int(found["address"], 16), found["symbol"], found["module"] or "", *numbers
        )
