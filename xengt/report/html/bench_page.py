"""A run as one self-contained page."""

from collections.abc import Iterable, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from xengt.bench.dimension import value_text
from xengt.bench.dimensions import DIMENSIONS, WORDS, varying, word
from xengt.bench.document import BenchDocument, PlanRecord
from xengt.bench.result import Result
from xengt.report.html.elements import el, page
from xengt.report.quantity import duration, rate
from xengt.report.svg import throughput
from xengt.report.svg.distribution import distributions
from xengt.report.terminal.bench_table import PERCENTILES, clock_of, iommu, outliers
from xengt.report.warnings import warning_lines
from xengt.xen.host import Host
from xengt.xen.kernel import Clock

_METHOD = (
    (
        "One sample is one call of a whole batch, timed in C by a thread pinned to its vCPU, with "
        "nothing else in the loop than the call and the clock. A call's time divided by its batch "
        "is the latency per operation. The operations of a batch share the cost of entering the "
        "hypervisor, so compare figures of the same batch only."
    ),
    (
        "The floor is the same loop over operations that the hypervisor refuses at once: "
        "entering, copying and leaving, but no grant. What map and unmap cost themselves is the "
        "figure less the floor."
    ),
    (
        "Every sample is kept. Percentiles come from an HdrHistogram and are exact to its number "
        "of digits; outliers are counted, not removed. gntdev's unmap is finished by Linux after "
        "the call has returned: its figure is what a program waits for, not what it costs."
    ),
)


_CLOCKS = {"time": "time", "instructions": "counts instructions: 1 ns is one instruction"}


def render(document: BenchDocument) -> str:
    """Write a run as a page.

    Args:
        document: the run.
    """
    title = f"Grant map and unmap on Xen {document.host['xen_version']}"
    results = document.results
    return page(
        title,
        el(
            "header",
            el("p", f"xengt bench · {document.created}", class_="over"),
            el("h1", title),
            facts(
                document.host,
                ("Boot", document.host["boot_id"]),
                ("Plan", _plan(document.plan)),
            ),
        ),
        *_distribution(results, clock_of(document.host)),
        *_throughput(results),
        *_figures(results, clock_of(document.host)),
        *_method(),
    )


def _plan(plan: PlanRecord) -> str:
    """Write the plan as the options that ask for it."""
    values: dict[str, Any] = {**plan}
    asked = [
        f"{name} {', '.join(value_text(each) for each in values[name])}"
        for name in DIMENSIONS
        if name in values
    ]
    length = (
        f"{plan['samples']:,} calls"
        if plan["samples"] is not None
        else f"{plan['duration_s']:g} seconds"
    )
    return " · ".join([*asked, f"{length} of each operation"])


def facts(host: Host, *more: tuple[str, str]) -> Element:
    """Write what the figures depend on.

    Args:
        host: of a document.
        more: names and values of further facts, each on a line of its own.
    """
    build = "debug build" if host["xen_debug"] else "release build"
    known = [
        ("Hypervisor", f"Xen {host['xen_version']}, {build}"),
        ("Build id", host["xen_build_id"] or "none"),
        ("dom0", f"{host['dom0']}, Linux {host['kernel']}"),
        ("CPUs", f"{host['dom0_vcpus']} vCPUs of dom0 on {host['pcpus']} pCPUs"),
        ("Processor", host["cpu"] + (", emulated in software" if host["emulated"] else "")),
        ("IOMMU", iommu(host)),
        ("Clock", _CLOCKS[clock_of(host)]),
    ]
    if "maptrack" in host:
        known.append(("Maptrack", host["maptrack"]))
    return el(
        "dl",
        *(el("div", el("dt", name), el("dd", value)) for name, value in known),
        el(
            "div",
            el("dt", "Xen command line"),
            el("dd", el("code", host["xen_commandline"])),
            class_="wide",
        ),
        *(el("div", el("dt", name), el("dd", value), class_="wide") for name, value in more),
        class_="facts",
    )


def _by_engine(results: Iterable[Result]) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.case.engine, []).append(result)
    return found


def _distribution(results: Sequence[Result], clock: Clock) -> Iterable[Element]:
    yield el("h2", "Latency")
    yield el(
        "p",
        "Time per operation, in calls of a whole batch, against the percentile of the calls. ",
        "The horizontal axis gives each further nine the same room; the dashed line is the "
        "instrument's own floor at the same batch.",
        class_="note",
    )
    for engine, shown in _by_engine(results).items():
        yield el("h3", f"{engine} engine")
        yield distributions(engine, shown, clock)


def _throughput(results: Sequence[Result]) -> Iterable[Element]:
    yield el("h2", "Throughput")
    yield el(
        "p",
        "Operations (not calls) per second of wall-clock time, all threads together. Map and unmap "
        "calls take turns, so one line may stand for both.",
        class_="note",
    )
    drawn = False
    for engine, shown in _by_engine(results).items():
        for by in ("batch", "threads"):
            if by in varying(result.case for result in shown):
                yield el("h3", f"{engine} engine, by {by}")
                yield throughput.lines(engine, by, shown)
                drawn = True
    if not drawn:
        yield throughput.bars(results)


def _figures(results: Sequence[Result], clock: Clock) -> Iterable[Element]:
    differ = varying(result.case for result in results)
    titles = ("floor", *(title for title, _ in PERCENTILES), "throughput", "outliers")
    head = el(
        "tr",
        el("th", "#", scope="col"),
        *(el("th", name, scope="col", class_=_word_class(name)) for name in differ),
        *(el("th", title, scope="col") for title in titles),
    )
    yield el("h2", "Figures")
    yield table(
        "Latency and floor are per operation; "
        "outliers lie beyond p75 + 3 IQR, and every figure includes them.",
        head,
        [_row(number, result, differ, clock) for number, result in enumerate(results, 1)],
    )
    said = warning_lines(results)
    if said:
        yield el("h2", "Warnings")
        yield el("ul", *(el("li", text) for text in said))


def _row(number: int, result: Result, differ: Sequence[str], clock: Clock) -> Element:
    floor = "–" if result.floor_ns is None else duration(result.floor_ns, clock)  # noqa: RUF001
    cells = [
        el("th", str(number), scope="row"),
        *(el("td", word(result.case, name), class_=_word_class(name)) for name in differ),
        el("td", floor),
    ]
    for title, name in PERCENTILES:
        time = duration(getattr(result.latency_ns, name), clock)
        cells.append(el("td", time, class_="strong" if title == "p50" else None))
    return el(
        "tr", *cells, el("td", rate(result.throughput_per_s)), el("td", outliers(result, clock))
    )


def _word_class(name: str) -> str | None:
    return "word" if name in WORDS else None


def table(caption: str, head: Element, rows: Sequence[Element]) -> Element:
    """Make a table that scrolls sideways where the screen is narrow.

    Args:
        caption: what the table holds, written above it.
        head: its first row.
        rows: the others.
    """
    scrolls = el(
        "div",
        el("table", el("thead", head), el("tbody", *rows)),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=caption,
    )
    return el("div", el("p", caption, class_="note"), scrolls)


def _method() -> Iterable[Element]:
    yield el("h2", "How the figures were taken")
    for paragraph in _METHOD:
        yield el("p", paragraph)
