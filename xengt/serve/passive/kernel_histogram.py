"""Parser of the kernel's histograms: the file `hist` of an event in tracefs.

print_entries() of Linux's kernel/trace/trace_events_hist.c writes lines such as:

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
    """Calls from one caller with similar durations.

    Attributes:
        address: return address of the calls; of asynchronous calls, their completion function.
        symbol: function that contains the address; the address again if it is unknown.
        module: kernel module of the function; empty for the kernel itself.
        power: the calls took at most 2 to this power nanoseconds, and more than half of that.
        calls: how many.
        ns: total duration in nanoseconds.
        references: total number of references.
    """

    address: int
    symbol: str
    module: str
    power: int
    calls: int
    ns: int
    references: int


def entries(text: str) -> Iterator[HistogramEntry]:
    """Yield the entries of a histogram.

    Args:
        text: content of the file.
    """
    for match in _ENTRY.finditer(text):
        numbers = (int(match[name]) for name in ("power", "calls", "ns", "references"))
        yield HistogramEntry(
            int(match["address"], 16), match["symbol"], match["module"] or "", *numbers
        )
