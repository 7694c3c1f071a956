"""Texts that the HTML page and the terminal table of a break-even have in common."""

from collections.abc import Sequence

from xengt.bench.case import DECLARED
from xengt.bench.case_text import constants, phrase, varying
from xengt.bench.engines.names import EngineName
from xengt.break_even import BreakEvenDocument, BreakEvenRow, Crossing
from xengt.report.quantity import NO_VALUE

NAMES = tuple(name for name in DECLARED if name not in ("engine", "bytes"))
"""The dimensions of a row: its title has the engine, and it has several numbers of bytes."""

EXPLANATION = (
    "Costs are per page. Mapping cost: the sum of the medians of map, touch and unmap. Copying "
    "cost: the median of one copy. Both exclude the measurement overhead. The column of a size "
    "(bytes that are copied or touched) shows copying cost divided by mapping cost; above 1, "
    "mapping is cheaper. Between measured sizes, the break-even is interpolated."
)


def notes(document: BreakEvenDocument) -> list[str]:
    """Return what limits the validity of the break-evens, one sentence each.

    Args:
        document: the break-evens.
    """
    found = []
    if any(row.setup.engine == EngineName.GNTDEV for row in document.rows):
        found.append(
            "Linux may complete gntdev's unmap after the call has returned: mapping with gntdev "
            "costs more than is shown"
        )
    if not all(row.is_determined for row in document.rows):
        found.append(
            "a break-even is not determined (-) if the measurement overhead, which is that of a "
            "rejected call, exceeds the latency of mapping: the patched Xen flushes TLBs after "
            "rejected unmaps, and not after unmaps of device mappings"
        )
    if len(document.runs) == 1 and document.clock != "instructions":
        found.append(
            "the break-evens have no confidence interval, because there is only one run: reboot "
            "between runs, and give the documents of all runs"
        )
    if document.clock == "instructions":
        found.append(
            "the clock counts instructions, and a string instruction counts once for each "
            "repetition: the costs of copies are not those of hardware"
        )
    if len({run.boot_id for run in document.runs}) < len(document.runs):
        found.append(
            "several runs are from the same boot and are not independent: the confidence intervals "
            "are too narrow"
        )
    hosts = {(run.document.host["cpu"], run.document.host["xen_build_id"]) for run in document.runs}
    if len(hosts) > 1:
        found.append(
            "the runs are from different hosts or hypervisors: analyse the runs of each host and "
            "hypervisor separately"
        )
    return found


def varying_dimensions(rows: Sequence[BreakEvenRow]) -> tuple[str, ...]:
    """Return the dimensions of `NAMES` in which the mappings of the rows differ.

    Args:
        rows: all rows of the document.
    """
    return varying((row.setup for row in rows), NAMES)


def title_of(row: BreakEvenRow, rows: Sequence[BreakEvenRow]) -> str:
    """Return what distinguishes a row's setup from those of the other rows, with both engines.

    Args:
        row: a row.
        rows: all rows of the document.
    """
    engines = f"{row.setup.engine} or {row.copying}"
    return " · ".join(filter(None, [engines, phrase(row.setup, varying_dimensions(rows))]))


def shared_values(rows: Sequence[BreakEvenRow]) -> str:
    """Write what the mappings of all rows have in common: `granter empty · batch 1`.

    Args:
        rows: all rows of the document.
    """
    return constants((row.setup for row in rows), NAMES)


def format_crossing(crossing: Crossing | None, largest: int) -> str:
    """Write a break-even: `1,234`, `≤ 64` or `> 4,096`; `-` if there is none.

    Args:
        crossing: the break-even.
        largest: the largest measured number of bytes.
    """
    if crossing is None:
        return NO_VALUE
    if crossing.bytes is None:
        return f"> {largest:,}"
    return f"{'≤ ' if crossing.is_smallest else ''}{crossing.bytes:,.0f}"


def format_interval(row: BreakEvenRow) -> str:
    """Write the confidence interval of a row's break-even; `-` without one.

    Args:
        row: a row.
    """
    if row.interval is None:
        return NO_VALUE
    low, high = (format_crossing(end, row.sizes[-1].bytes) for end in row.interval)
    return f"[{low}, {high}]"


def format_quotient(row: BreakEvenRow, size: int) -> str:
    """Write the cost of copying divided by that of mapping; `-` if one is not positive.

    Args:
        row: a row.
        size: a number of bytes.
    """
    means = next((each.means for each in row.sizes if each.bytes == size), None)
    if means is None or min(means) <= 0:
        return NO_VALUE
    mapping, copying = means
    return f"{copying / mapping:.3g}"
