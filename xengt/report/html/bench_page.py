"""The report of a run as a self-contained HTML page."""

from collections.abc import Iterable, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from xengt.bench.case_text import DIMENSIONS, WORDS, varying, word
from xengt.bench.dimension import value_text
from xengt.bench.document import BenchDocument, PlanRecord
from xengt.bench.result import Result
from xengt.break_even import find_break_evens
from xengt.report.bench_text import (
    COLUMNS,
    EXPLANATION,
    PERCENTILES,
    clock_of,
    format_outliers,
    format_overhead,
)
from xengt.report.elements import el
from xengt.report.html import break_even_page, scaling_page
from xengt.report.html.host_facts import host_facts
from xengt.report.html.page import page, table
from xengt.report.quantity import duration, rate
from xengt.report.svg.break_even import draw_break_evens
from xengt.report.svg.latency import draw_latency_distributions
from xengt.report.svg.scaling import draw_scaling
from xengt.report.svg.throughput import draw_throughput_bars, draw_throughput_curves
from xengt.report.warnings import warning_lines
from xengt.scaling import find_laws
from xengt.xen.kernel import Clock
from xenlib_cffi.library import PAGE_SIZE

_METHOD = (
    (
        "Each sample is one call that processes a whole batch. The call is timed in C by a thread "
        "pinned to its vCPU, in a loop that contains only the call and the clock readings. The "
        "latency per operation is the duration of the call divided by its batch size. The "
        "operations of a batch share the cost of entering the hypervisor, so only figures of the "
        "same batch size are comparable."
    ),
    (
        "The measurement overhead is the latency per operation of the same loop with operations "
        "that the hypervisor rejects at once: it includes entering the hypervisor, copying the "
        "arguments and returning, but no work on grants. The engine persistent makes no call, "
        "so its overhead is the cost of reading the clock. The net cost of an operation is its "
        "latency minus the measurement overhead."
    ),
    (
        "The figures include all samples. Percentiles come from an HdrHistogram and are exact to "
        "its number of significant digits; outliers are counted, not removed. Linux completes "
        "gntdev's unmap after the call has returned, so its latency is the time that a program "
        "waits, not the full cost of the unmap."
    ),
)


def render(document: BenchDocument) -> str:
    """Return the page of a run.

    Args:
        document: the run.
    """
    title = f"Grant operations on Xen {document.host['xen_version']}"
    results = document.results
    drawn = _representative(results) if "suite" in document.plan else results
    clock = clock_of(document.host)
    return page(
        title,
        el(
            "header",
            el("p", f"xengt bench · {document.created}", class_="overline"),
            el("h1", title),
            host_facts(
                document.host,
                ("Boot ID", document.host["boot_id"]),
                ("Plan", _describe_plan(document.plan)),
            ),
        ),
        *_latency_section(drawn, clock),
        *_throughput_section(drawn),
        *_break_even_section(document, clock),
        *_scaling_section(document, clock),
        *_figures_section(results, clock),
        *_left_out_section(document),
        *_warnings_section(results),
        *_method_section(),
    )


def _representative(results: Sequence[Result]) -> list[Result]:
    """Return the results of a suite that are drawn: of the others, the page has tables."""
    return [
        result
        for result in results
        if (result.case.mappings, result.case.touch, result.case.bytes) == (1, "none", PAGE_SIZE)
    ]


def _describe_plan(plan: PlanRecord) -> str:
    """Return the plan as the values of its options."""
    values: dict[str, Any] = {**plan}
    options = [
        f"{name} {', '.join(value_text(value) for value in values[name])}"
        for name in DIMENSIONS
        if name in values
    ]
    length = (
        f"{plan['samples']:,} calls"
        if plan["samples"] is not None
        else f"{plan['duration_s']:g} seconds"
    )
    return " · ".join([*options, f"{length} per setup and operation"])


def _by_engine(results: Iterable[Result]) -> dict[str, list[Result]]:
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.case.engine, []).append(result)
    return groups


def _latency_section(results: Sequence[Result], clock: Clock) -> Iterable[Element]:
    yield el("h2", "Latency")
    yield el(
        "p",
        "Latency per operation against the percentile of the calls, each of a whole batch. On the "
        "horizontal axis, each additional nine of the percentile takes the same width. Dashed "
        "lines show the measurement overhead at the same batch size.",
        class_="note",
    )
    for engine, of_engine in _by_engine(results).items():
        yield el("h3", f"{engine} engine")
        yield draw_latency_distributions(engine, of_engine, clock)


def _throughput_section(results: Sequence[Result]) -> Iterable[Element]:
    yield el("h2", "Throughput")
    yield el(
        "p",
        "Operations (not calls) per second of wall-clock time, summed over all threads. Map and "
        "unmap calls alternate, so one curve may represent both.",
        class_="note",
    )
    has_curves = False
    for engine, of_engine in _by_engine(results).items():
        for dimension in ("batch", "threads"):
            if dimension in varying(result.case for result in of_engine):
                yield el("h3", f"{engine} engine, by {dimension}")
                yield draw_throughput_curves(engine, dimension, of_engine)
                has_curves = True
    if not has_curves:
        yield draw_throughput_bars(results)


def _break_even_section(document: BenchDocument, clock: Clock) -> Iterable[Element]:
    rows = tuple(find_break_evens([document]))
    if rows:
        yield el("h2", "Mapping or copying")
        yield el(
            "p",
            "Cost per page against the number of bytes, measurement overhead excluded. Mapping is "
            "cheaper where its curve is below that of the copy, from the granter or to it.",
            class_="note",
        )
        yield draw_break_evens(rows, clock)
        yield break_even_page.table_of(rows)


def _scaling_section(document: BenchDocument, clock: Clock) -> Iterable[Element]:
    rows = () if clock == "instructions" else tuple(find_laws([document]))
    if rows:
        yield el("h2", "Scaling")
        yield el(
            "p",
            "Operations per second over all threads. Dots are measured, the smooth curve is the "
            "fitted universal scalability law.",
            class_="note",
        )
        yield draw_scaling(rows)
        yield scaling_page.table_of(rows)


def _figures_section(results: Sequence[Result], clock: Clock) -> Iterable[Element]:
    differing = varying(result.case for result in results)
    head = el(
        "tr",
        el("th", "#", scope="col"),
        *(el("th", name, scope="col", class_=_alignment_class(name)) for name in differing),
        *(el("th", title, scope="col") for title in COLUMNS),
    )
    yield el("h2", "Figures")
    yield table(
        EXPLANATION,
        head,
        [
            _figures_row(number, result, differing, clock)
            for number, result in enumerate(results, 1)
        ],
    )


def _figures_row(number: int, result: Result, differing: Sequence[str], clock: Clock) -> Element:
    cells = [
        el("th", str(number), scope="row"),
        *(el("td", word(result.case, name), class_=_alignment_class(name)) for name in differing),
        el("td", format_overhead(result, clock)),
    ]
    for title, name in PERCENTILES:
        latency = duration(getattr(result.latency_ns, name), clock)
        cells.append(el("td", latency, class_="strong" if title == "p50" else None))
    return el(
        "tr",
        *cells,
        el("td", rate(result.throughput_per_s)),
        el("td", format_outliers(result, clock)),
    )


def _alignment_class(dimension: str) -> str | None:
    return "text" if dimension in WORDS else None


def _left_out_section(document: BenchDocument) -> Iterable[Element]:
    if document.left_out:
        yield el("h2", "Not measured")
        yield el("ul", *(el("li", reason) for reason in document.left_out))


def _warnings_section(results: Sequence[Result]) -> Iterable[Element]:
    texts = warning_lines(results)
    if texts:
        yield el("h2", "Warnings")
        yield el("ul", *(el("li", text) for text in texts))


def _method_section() -> Iterable[Element]:
    yield el("h2", "Method")
    for paragraph in _METHOD:
        yield el("p", paragraph)
