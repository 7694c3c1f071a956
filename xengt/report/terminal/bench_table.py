"""The report of a run as a table for a terminal or a pipe."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xengt.bench.case_text import WORDS, constants, varying, word
from xengt.bench.document import BenchDocument
from xengt.bench.result import Result
from xengt.report.bench_text import (
    COLUMNS,
    EXPLANATION,
    PERCENTILES,
    clock_of,
    describe_iommu,
    format_outliers,
    format_overhead,
    on_pcpus,
)
from xengt.report.quantity import duration, rate
from xengt.report.terminal.console import print_lines, print_table
from xengt.report.warnings import warning_lines
from xengt.xen.host import Host
from xengt.xen.kernel import Clock


def show(document: BenchDocument, console: Console) -> None:
    """Print a run: the host, the dimensions that all cases share, a row per result, warnings.

    Args:
        document: the run.
        console: the console to print on.
    """
    print_lines(console, [_describe_host(document.host)])
    if not document.results:
        print_lines(console, ["no results"])
        return
    print_lines(console, [constants(result.case for result in document.results)])
    print_table(console, _build_table(document.results, clock_of(document.host)))
    print_lines(
        console, [EXPLANATION, *(f"warning: {text}" for text in warning_lines(document.results))]
    )


def _describe_host(host: Host) -> str:
    build = "debug" if host["xen_debug"] else "release"
    cpu = f"{host['cpu']}, emulated" if host["emulated"] else host["cpu"]
    return (
        f"Xen {host['xen_version']} ({build}) · {host['dom0']} dom0, Linux {host['kernel']}, "
        f"{host['dom0_vcpus']} vCPUs{on_pcpus(host)} · IOMMU {describe_iommu(host)} · "
        f"{cpu}"
    )


def _build_table(results: Sequence[Result], clock: Clock) -> Table:
    differing = varying(result.case for result in results)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("#", justify="right", style="dim")
    for name in differing:
        table.add_column(name, justify="left" if name in WORDS else "right", no_wrap=True)
    for title in COLUMNS:
        table.add_column(title, justify="right", no_wrap=True, style="bold" * (title == "p50"))
    for number, result in enumerate(results, 1):
        table.add_row(
            str(number),
            *(Text(word(result.case, name)) for name in differing),
            format_overhead(result, clock),
            *(duration(getattr(result.latency_ns, name), clock) for _, name in PERCENTILES),
            rate(result.throughput_per_s),
            format_outliers(result, clock),
        )
    return table
