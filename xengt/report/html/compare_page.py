"""A comparison as one self-contained page."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from xml.etree.ElementTree import Element

from xengt.bench.dimensions import DIMENSIONS, constants, phrase, varying
from xengt.compare import Comparison, Metric, Row
from xengt.compare.notes import Run, side
from xengt.report.html.bench_page import facts, table
from xengt.report.html.elements import el, page
from xengt.report.quantity import interval
from xengt.report.svg.scale import Scale, linear_ticks
from xengt.report.terminal.compare_table import figure
from xengt.xen.kernel import Clock

_TITLE = "Grant map and unmap, new against base"


def render(comparison: Comparison) -> str:
    """Write a comparison as a page.

    Args:
        comparison: base against new.
    """
    sections = [
        part
        for metric, rows in groupby(comparison.rows, key=lambda row: row.metric)
        for part in _forest(metric, list(rows))
    ]
    return page(
        _TITLE,
        el(
            "header",
            el("p", "xengt compare", class_="over"),
            el("h1", _TITLE),
            el("p", f"{_count(comparison.base)} of base, {_count(comparison.new)} of new"),
        ),
        *_list("Before trusting the ratios", comparison.notes),
        *sections,
        *_list("Only on one side", comparison.unmatched),
        *_figures(comparison.rows, comparison.clock),
        *_side("Base", comparison.base),
        *_side("New", comparison.new),
        *_method(),
    )


def _side(name: str, runs: Sequence[Run]) -> Iterable[Element]:
    named = ", ".join(f"{run.path} (boot {run.boot_id[:8]})" for run in runs)
    yield el("h2", f"{side(name, runs)}: {_count(runs)}")
    yield facts(runs[0].document.host, ("Runs", named))


def _count(runs: Sequence[Run]) -> str:
    return f"{len(runs)} run{'s' * (len(runs) > 1)}"


def _list(title: str, texts: Sequence[str]) -> Iterable[Element]:
    if texts:
        yield el("h2", title)
        yield el("ul", *(el("li", text) for text in texts))


def _forest(metric: Metric, rows: Sequence[Row]) -> Iterable[Element]:
    """Draw a line for each ratio, its interval and 1, all on the same axis."""
    drawn = [row for row in rows if row.ratio]
    ends = [1.0]
    for row in drawn:
        if row.ratio:
            ends += [x for x in (row.ratio.value, row.ratio.low, row.ratio.high) if x is not None]
    low, high = min(ends), max(ends)
    # All the same: still an axis with a left and a right.
    ticks = linear_ticks(low, high) if high - low > 1e-6 else [0.9, 1.0, 1.1]  # noqa: PLR2004
    scale = Scale(ticks[0], ticks[-1], 4, 96)
    yield el("h2", metric.title[0].upper() + metric.title[1:])
    yield el("p", f"Ratio new/base; {constants(row.case for row in rows)}", class_="note")
    differ = varying(row.case for row in rows) or ("operation",)
    yield el(
        "div",
        _row("", _axis(ticks, scale), ""),
        *(
            _row(phrase(row.case, differ), _mark(row, ticks, scale, number), _said(row))
            for number, row in enumerate(rows)
        ),
        class_="rows",
    )


def _row(label: str, picture: Element, said: str) -> Element:
    return el("div", el("span", label), picture, el("span", said, class_="said"), class_="row")


def _axis(ticks: Sequence[float], scale: Scale) -> Element:
    return el(
        "svg",
        *(el("text", f"{x:.4g}", x=_at(scale, x), y=20, class_="tick across") for x in ticks),
        aria_hidden="true",
    )


def _mark(row: Row, ticks: Sequence[float], scale: Scale, number: int) -> Element:
    name = f"{row.metric.value}-{number}"
    ratio = row.ratio
    drawn = [
        el("line", x1=_at(scale, x), x2=_at(scale, x), y1=0, y2=30, class_="grid") for x in ticks
    ]
    drawn.append(el("line", x1=_at(scale, 1), x2=_at(scale, 1), y1=0, y2=30, class_="one"))
    if ratio:
        parts = [el("circle", cx=_at(scale, ratio.value), cy=15, r=4.5)]
        if ratio.low is not None and ratio.high is not None:
            low, high = _at(scale, ratio.low), _at(scale, ratio.high)
            parts.insert(0, el("line", x1=low, x2=high, y1=15, y2=15))
        drawn.append(el("g", *parts, class_=f"mark {_kind(row)}"))
    return el(
        "svg",
        el("title", f"{phrase(row.case, DIMENSIONS)}: {_said(row)}", id=name),
        *drawn,
        role="img",
        aria_labelledby=name,
    )


def _at(scale: Scale, value: float) -> str:
    return f"{scale(value):.2f}%"


def _kind(row: Row) -> str:
    """Choose the colour: one for better, one for worse, none where nothing is shown."""
    if row.ratio is None or not row.ratio.differs:
        return "quiet"
    better = (row.ratio.value < 1) is not (row.metric is Metric.THROUGHPUT)
    return "map" if better else "unmap"


def _said(row: Row) -> str:
    return f"{row.ratio.value:.3f} · {row.verdict}" if row.ratio else row.verdict


def _figures(rows: Sequence[Row], clock: Clock) -> Iterable[Element]:
    yield el("h2", "Figures")
    differ = varying(row.case for row in rows)
    titles = ("base", "new", "ratio", "95 % interval")
    yield table(
        "Geometric means over runs, and their ratio new/base.",
        el(
            "tr",
            el("th", "figure", scope="col", class_="word"),
            el("th", "case", scope="col", class_="word"),
            *(el("th", title, scope="col") for title in titles),
            el("th", "", class_="word"),
        ),
        [
            el(
                "tr",
                el("td", row.metric.title, class_="word"),
                el("td", phrase(row.case, differ), class_="word"),
                *(el("td", figure(row.metric, centre, clock)) for centre in row.centres),
                el("td", f"{row.ratio.value:.3f}" if row.ratio else "-", class_="strong"),
                el("td", interval(row.ratio.low, row.ratio.high) if row.ratio else "-"),
                el("td", row.verdict, class_="word"),
            )
            for row in rows
        ],
    )


def _method() -> Iterable[Element]:
    yield el("h2", "How the ratios were taken")
    yield el(
        "p",
        "A run, in a boot of its own, is one sample, because the calls within a run share whatever "
        "the boot brought about. Each figure is taken from every run, and the ratio is that of the "
        "geometric means over runs. The interval is Student's t interval on the logarithms of the "
        "runs' figures, with a confidence of 95 %; it assumes the same relative noise on both "
        "sides. If it contains 1, no difference is shown, which does not mean that there is none. "
        "Of many intervals, about one in twenty excludes 1 by chance.",
    )
    yield el(
        "p",
        "Net of the floor is the median less the instrument's own floor at the same batch: what "
        "the operation itself costs. It has a ratio only if every run of both sides is above the "
        "floor, and the mean over runs is so by more than its noise. A pair is one map and one "
        "unmap.",
    )
