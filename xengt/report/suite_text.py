"""The summary of a suite as plain text of a mail's width, to paste into a mail or an issue."""

from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

from xengt.bench.case import Setup
from xengt.bench.document import BenchDocument
from xengt.bench.engines.names import COPYING
from xengt.bench.noise import RUNS
from xengt.bench.result import Result
from xengt.break_even import find_break_evens
from xengt.report.bench_text import clock_of, describe_iommu, on_pcpus
from xengt.report.break_even_text import format_crossing
from xengt.report.quantity import NO_VALUE, duration, rate
from xengt.report.scaling_text import format_coefficient, format_peak
from xengt.runs.overhead import subtract_overhead
from xengt.scaling import find_laws
from xengt.xen.host import Host
from xengt.xen.kernel import Clock

WIDTH = 72

_Row = Sequence[str]
_Setups = dict[Setup, list[Result]]


def render(document: BenchDocument) -> str:
    """Return the summary of a run.

    Args:
        document: the document of a suite, or of any other run.
    """
    clock = clock_of(document.host)
    setups: _Setups = {}
    for result in document.results:
        setups.setdefault(result.case.setup, []).append(result)
    sections = [
        _host_section(document),
        _section("Mapping, per page", _mapping_rows(setups, clock)),
        _section("Copying, per page", _copying_rows(setups, clock)),
        _section("Copy size from which mapping is cheaper", _break_even_rows(document)),
        _section("Scaling over threads", _scaling_rows(document) if clock == "time" else iter(())),
        _left_out_section(document),
        [
            *_wrapped(
                "Latencies are medians minus the measurement overhead (the same call, rejected at "
                "once; for the engine persistent, no call), which has its own column. Throughputs "
                f"are not corrected. {_negative(document.results)}{_unit(clock)}"
            )
        ],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def _negative(results: Sequence[Result]) -> str:
    """Explain negative latencies, if there are any."""
    nets = [subtract_overhead(result) for result in results]
    if all(net is None or net.value >= 0 for net in nets):
        return ""
    return (
        "A negative latency means that the rejected call takes longer: the patched Xen flushes "
        "TLBs after rejected unmaps, and not after unmaps of device mappings. "
    )


def _unit(clock: Clock) -> str:
    if clock == "instructions":
        return "The clock counts instructions in an emulator."
    return ""


def _host_section(document: BenchDocument) -> list[str]:
    host = document.host
    build = "debug" if host["xen_debug"] else "release"
    lines = [
        f"xengt {document.xengt} suite, {document.created}",
        f"Xen {host['xen_version']} ({build}), {host['dom0']} dom0 with Linux {host['kernel']}",
        f"{host['cpu']}{', emulated' if host['emulated'] else ''}",
        (
            f"{host['dom0_vcpus']} dom0 vCPUs{on_pcpus(host)}{_nodes(host)}, IOMMU "
            f"{describe_iommu(host)}, maptrack {host.get('maptrack', 'unknown')}"
        ),
        *([f"mitigations: {host['mitigations']}"] if "mitigations" in host else []),
        f"command line: {host['xen_commandline']}",
    ]
    if "noise_ratio" in host:
        lines.append(
            f"noise: medians of {RUNS} repeated measurements differ by up to "
            f"{100 * host['noise_ratio']:.1f} %"
        )
    return [each for line in lines for each in _wrapped(line)]


def _nodes(host: Host) -> str:
    return f" in {host['numa_nodes']} NUMA nodes" if host.get("numa_nodes", 1) > 1 else ""


def _wrapped(text: str) -> list[str]:
    return wrap(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _section(title: str, rows: Iterable[_Row]) -> list[str]:
    """Return a title and an aligned table; nothing if there are no rows below its head."""
    table = list(rows)
    if len(table) <= 1:
        return []
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]
    return [title, *(line.rstrip() for line in lines)]


def _left_out_section(document: BenchDocument) -> list[str]:
    """Return what could not be measured and why; nothing if all was measured."""
    lines = [line for reason in document.left_out for line in _wrapped(reason)]
    return ["Not measured", *lines] if lines else []


def _mapping_rows(setups: _Setups, clock: Clock) -> Iterator[_Row]:
    yield ("engine", "batch", "mappings", "map", "unmap", "overhead")
    for setup, results in setups.items():
        if setup.engine not in COPYING and setup.touch == "none" and setup.threads == 1:
            first, last = results
            yield (
                setup.engine,
                f"{setup.batch}",
                f"{setup.mappings}",
                _net(first, clock),
                _net(last, clock),
                _overhead(results, clock),
            )


def _copying_rows(setups: _Setups, clock: Clock) -> Iterator[_Row]:
    yield ("engine", "batch", "bytes", "from granter", "to granter", "overhead")
    for setup, results in setups.items():
        if setup.engine in COPYING and setup.threads == 1:
            first, last = results
            yield (
                setup.engine,
                f"{setup.batch}",
                f"{setup.bytes:,}",
                _net(first, clock),
                _net(last, clock),
                _overhead(results, clock),
            )


def _break_even_rows(document: BenchDocument) -> Iterator[_Row]:
    yield ("mapping", "copying", "batch", "touch", "from granter", "to granter")
    found: dict[tuple[str, str, int, str], list[str]] = {}
    for row in find_break_evens([document]):
        if (row.setup.threads, row.setup.mappings) != (1, 1):
            continue
        key = (row.setup.engine, row.copying, row.setup.batch, row.setup.touch)
        size = format_crossing(row.value, row.sizes[-1].bytes)
        found.setdefault(key, []).append(size if row.value is None else f"{size} B")
    for (engine, copying, batch, touch), (first, last) in found.items():
        yield (engine, copying, f"{batch}", touch, first, last)


def _scaling_rows(document: BenchDocument) -> Iterator[_Row]:
    yield ("engine", "batch", "1 thread", "max threads", "contention", "coherency", "peak")
    for row in find_laws([document]):
        most = max(row.means)
        yield (
            row.setup.engine,
            f"{row.setup.batch}",
            rate(row.means.get(1, row.law.throughput_per_s(1))),
            f"{most}: {rate(row.means[most])}",
            format_coefficient(row.law.contention).partition(" ")[0],
            format_coefficient(row.law.coherency).partition(" ")[0],
            format_peak(row),
        )


def _net(result: Result, clock: Clock) -> str:
    net = subtract_overhead(result)
    return NO_VALUE if net is None else duration(net.value, clock)


def _overhead(results: Sequence[Result], clock: Clock) -> str:
    overheads = [result.floor_ns for result in results if result.floor_ns is not None]
    return duration(sum(overheads) / len(overheads), clock) if overheads else NO_VALUE
