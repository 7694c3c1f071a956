"""The report of a comparison as a self-contained HTML page."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from xml.etree.ElementTree import Element

from xengt.bench.case_text import constants, phrase, varying
from xengt.compare import Comparison, Metric, RatioRow
from xengt.report.compare_text import (
    COLUMNS,
    EXPLANATION,
    format_columns,
    side_title,
)
from xengt.report.elements import el
from xengt.report.html.host_facts import host_facts
from xengt.report.html.page import list_section, page, table
from xengt.report.quantity import PERCENT_CONFIDENCE
from xengt.report.svg.ratio_plot import draw_ratio_plot
from xengt.runs.run_file import RunFile
from xengt.xen.kernel import Clock

_TITLE = "Grant map and unmap: comparison of new with base"
_METHOD = (
    (
        "The sampling unit is a run in its own boot, because all calls of a run share the effects "
        "of its boot. Each figure is computed for every run, and a ratio is that of the geometric "
        "means over the runs. The interval is Student's t interval on the logarithms of the runs' "
        f"figures with a confidence of {PERCENT_CONFIDENCE}; it assumes the same relative noise on "
        "both sides. If the interval contains 1, the difference is not significant, which does not "
        "prove that there is none. About one interval in twenty excludes 1 by chance."
    ),
    (
        "The measurement overhead is the latency of an operation that is rejected at once (for the "
        "engine persistent, which makes no call, of reading the clock), at the same batch size. A "
        "figure from which it is excluded is the median latency minus the measurement overhead: "
        "the cost of the operation itself. It has a ratio only if every run of both sides is above "
        "the measurement overhead and the mean over the runs exceeds it by more than its noise. A "
        "pair is one map and one unmap."
    ),
)


def render(comparison: Comparison) -> str:
    """Return the page of a comparison.

    Args:
        comparison: the comparison.
    """
    ratio_sections = [
        element
        for metric, rows in groupby(comparison.rows, key=lambda row: row.metric)
        for element in _ratio_section(metric, list(rows))
    ]
    return page(
        _TITLE,
        el(
            "header",
            el("p", "xengt compare", class_="overline"),
            el("h1", _TITLE),
            el("p", f"base: {_count(comparison.base)}, new: {_count(comparison.new)}"),
        ),
        *list_section("Limitations", comparison.notes),
        *ratio_sections,
        *list_section("Cases on one side only", comparison.unmatched),
        *_figures_section(comparison.rows, comparison.clock),
        *_side_section("Base", comparison.base),
        *_side_section("New", comparison.new),
        *_method_section(),
    )


def _side_section(name: str, runs: Sequence[RunFile]) -> Iterable[Element]:
    files = ", ".join(f"{run.path} (boot {run.boot_id[:8]})" for run in runs)
    yield el("h2", f"{side_title(name, runs)}: {_count(runs)}")
    yield host_facts(runs[0].document.host, ("Runs", files))


def _count(runs: Sequence[RunFile]) -> str:
    return f"{len(runs)} run{'s' * (len(runs) > 1)}"


def _ratio_section(metric: Metric, rows: Sequence[RatioRow]) -> Iterable[Element]:
    yield el("h2", metric.title[0].upper() + metric.title[1:])
    shared = constants(row.case for row in rows)
    yield el(
        "p",
        f"Ratio new/base with {PERCENT_CONFIDENCE} confidence interval; {shared}",
        class_="note",
    )
    yield draw_ratio_plot(rows)


def _figures_section(rows: Sequence[RatioRow], clock: Clock) -> Iterable[Element]:
    yield el("h2", "Figures")
    differing = varying(row.case for row in rows)
    yield table(
        EXPLANATION,
        el(
            "tr",
            el("th", "metric", scope="col", class_="text"),
            el("th", "case", scope="col", class_="text"),
            *(el("th", title, scope="col") for title in COLUMNS),
            el("th", "", class_="text"),
        ),
        [
            el(
                "tr",
                el("td", row.metric.short_title, class_="text"),
                el("td", phrase(row.case, differing), class_="text"),
                *(
                    el("td", text, class_="strong" if title == "ratio" else None)
                    for title, text in zip(COLUMNS, format_columns(row, clock), strict=True)
                ),
                el("td", row.verdict, class_="text"),
            )
            for row in rows
        ],
    )


def _method_section() -> Iterable[Element]:
    yield el("h2", "Method")
    for paragraph in _METHOD:
        yield el("p", paragraph)
