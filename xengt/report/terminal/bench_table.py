"""A run on a terminal, or as plain lines where there is none."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xengt.bench.dimensions import WORDS, constants, varying, word
from xengt.bench.document import BenchDocument
from xengt.bench.result import Result
from xengt.report.quantity import duration, rate
from xengt.report.terminal.console import lines, print_table
from xengt.report.warnings import warning_lines
from xengt.xen.host import Host
from xengt.xen.kernel import Clock

PERCENTILES = (
    *(("min", "min"), ("p50", "p50"), ("p90", "p90")),
    *(("p99", "p99"), ("p99.9", "p99_9"), ("max", "max")),
)
READ_AS = (
    "Latency and floor are per operation: the time of a call divided by its batch. "
    "Outliers lie beyond p75 + 3 IQR; every figure includes them."
)


def show(document: BenchDocument, console: Console) -> None:
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
    print_table(console, _table(document.results, clock_of(document.host)))
    lines(console, [READ_AS, *(f"warning, {text}" for text in warning_lines(document.results))])


def host_line(host: Host) -> str:
    """Write the host in one line.

    Args:
        host: of the document.
    """
    build = "debug" if host["xen_debug"] else "release"
    cpu = f"{host['cpu']}, emulated" if host["emulated"] else host["cpu"]
    return (
        f"Xen {host['xen_version']} ({build}) · {host['dom0']} dom0, Linux {host['kernel']}, "
        f"{host['dom0_vcpus']} vCPUs on {host['pcpus']} pCPUs · IOMMU {iommu(host)} · {cpu}"
    )


def iommu(host: Host) -> str:
    """Name what dom0's IOMMU is used as.

    Args:
        host: of the document.
    """
    return host["iommu"] + (", own bus addresses" if host.get("bus_addresses") else "")


def clock_of(host: Host) -> Clock:
    """Return what a nanosecond of a host's clock is.

    Args:
        host: of the document.
    """
    return host.get("clock", "time")


def _table(results: Sequence[Result], clock: Clock) -> Table:
    differ = varying(result.case for result in results)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("#", justify="right", style="dim")
    for name in differ:
        table.add_column(name, justify="left" if name in WORDS else "right", no_wrap=True)
    for name in ("floor", *(title for title, _ in PERCENTILES), "throughput", "outliers"):
        table.add_column(name, justify="right", no_wrap=True, style="bold" * (name == "p50"))
    for number, result in enumerate(results, 1):
        table.add_row(
            str(number),
            *(Text(word(result.case, name)) for name in differ),
            "-" if result.floor_ns is None else duration(result.floor_ns, clock),
            *(duration(getattr(result.latency_ns, name), clock) for _, name in PERCENTILES),
            rate(result.throughput_per_s),
            outliers(result, clock),
        )
    return table


def outliers(result: Result, clock: Clock) -> str:
    """Write how many samples lie far out, and beyond what.

    Args:
        result: one of a document.
        clock: of its host.
    """
    far = result.outliers
    return f"{far.count:,} > {duration(far.above_ns, clock)}" if far.count else "none"
