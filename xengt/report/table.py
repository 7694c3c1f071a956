"""A run on a terminal, or as plain lines where there is none."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xengt.document import Document, Host
from xengt.report.cases import constants, varying, word
from xengt.report.quantity import duration, rate
from xengt.samples import Result

# Wider than any table of ours: a column is never cut, wherever the output goes.
_UNBOUNDED = 1000
PERCENTILES = (
    *(("min", "min"), ("p50", "p50"), ("p90", "p90")),
    *(("p99", "p99"), ("p99.9", "p99_9"), ("max", "max")),
)
READ_AS = (
    "Latency and floor are per operation: the time of a call divided by its batch. "
    "Outliers lie beyond p75 + 3 IQR; every figure includes them."
)
_WORDS = ("engine", "operation", "granter")


def show(document: Document, console: Console) -> None:
    """Print a run: host, what is common to all cases, a row for each result, notes.

    Args:
        document: the run.
        console: where to; colours and line lengths follow what it is.
    """
    lines(console, [host_line(document.host)])
    if not document.results:
        lines(console, ["no results"])
        return
    lines(console, [constants(result.case for result in document.results)])
    print_table(console, _table(document.results))
    lines(console, _notes(document.results))


def host_line(host: Host) -> str:
    """Write the host in one line.

    Args:
        host: of the document.
    """
    build = "debug" if host["xen_debug"] else "release"
    cpu = f"{host['cpu']}, emulated" if host["emulated"] else host["cpu"]
    return (
        f"Xen {host['xen_version']} ({build}) · {host['dom0']} dom0, Linux {host['kernel']}, "
        f"{host['dom0_vcpus']} vCPUs on {host['pcpus']} pCPUs · IOMMU {host['iommu']} · {cpu}"
    )


def print_table(console: Console, table: Table) -> None:
    """Print a table at its full width: a terminal that is too narrow wraps it, nothing is cut.

    Args:
        console: where to.
        table: one that does not expand.
    """
    narrow = console.width
    console.width = _UNBOUNDED
    try:
        console.print(table, crop=False)
    finally:
        console.width = narrow


def lines(console: Console, texts: Iterable[str]) -> None:
    """Print lines, wrapped on a terminal and whole elsewhere.

    Args:
        console: where to.
        texts: one for each line; brackets in them are only brackets.
    """
    for text in texts:
        console.print(text, markup=False, highlight=False, soft_wrap=not console.is_terminal)


def numbered(notes: Mapping[str, Sequence[int]]) -> list[str]:
    """Write notes once each, with the rows they hold for: `rows 1-3, 7: ...`.

    Args:
        notes: for each text the numbers of its rows, ascending.
    """
    return [f"row{'s' * (len(rows) > 1)} {_ranges(rows)}: {text}" for text, rows in notes.items()]


def _ranges(rows: Sequence[int]) -> str:
    breaks = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(rows)) if b != a + 1), len(rows)]
    runs = [rows[start:end] for start, end in pairwise(breaks)]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _table(results: Sequence[Result]) -> Table:
    differ = varying(result.case for result in results)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("#", justify="right", style="dim")
    for name in differ:
        table.add_column(name, justify="left" if name in _WORDS else "right", no_wrap=True)
    for name in ("floor", *(title for title, _ in PERCENTILES), "throughput", "outliers"):
        table.add_column(name, justify="right", no_wrap=True, style="bold" * (name == "p50"))
    for number, result in enumerate(results, 1):
        table.add_row(
            str(number),
            *(Text(word(result.case, name)) for name in differ),
            "-" if result.floor_ns is None else duration(result.floor_ns),
            *(duration(getattr(result.latency_ns, name)) for _, name in PERCENTILES),
            rate(result.throughput_per_s),
            outliers(result),
        )
    return table


def outliers(result: Result) -> str:
    """Write how many samples lie far out, and beyond what.

    Args:
        result: one of a document.
    """
    far = result.outliers
    return f"{far.count:,} > {duration(far.above_ns)}" if far.count else "none"


def _notes(results: Sequence[Result]) -> list[str]:
    warned: dict[str, list[int]] = {}
    for number, result in enumerate(results, 1):
        for text in result.warnings:
            warned.setdefault(text, []).append(number)
    return [READ_AS, *(f"warning, {text}" for text in numbered(warned))]
