"""Ratios with their confidence intervals as a forest plot, one row per case."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from xengt.bench.case_text import DIMENSIONS, phrase, varying
from xengt.compare import Metric, RatioRow
from xengt.report.elements import el
from xengt.report.svg.scale import Scale, linear_ticks

_HEIGHT = 30
_MIDDLE = _HEIGHT // 2
# Percent of the width: leaves room for labels at both ends.
_LEFT, _RIGHT = 4, 96
# If all ratios are nearly 1, the axis still needs two distinct ends.
_SMALLEST_RANGE = 1e-6
_DEFAULT_TICKS = (0.9, 1.0, 1.1)


def draw_ratio_plot(rows: Sequence[RatioRow]) -> Element:
    """Draw the ratios of one metric on one axis, with a line at 1.

    Args:
        rows: rows of one metric, at least one. A row without a ratio has no mark.
    """
    ends = [1.0]
    for row in rows:
        if row.ratio:
            values = (row.ratio.value, row.ratio.low, row.ratio.high)
            ends += [value for value in values if value is not None]
    low, high = min(ends), max(ends)
    ticks = linear_ticks(low, high) if high - low > _SMALLEST_RANGE else _DEFAULT_TICKS
    scale = Scale(ticks[0], ticks[-1], _LEFT, _RIGHT)
    differing = varying(row.case for row in rows) or ("operation",)
    return el(
        "div",
        _plot_row("", _draw_tick_labels(ticks, scale), ""),
        *(
            _plot_row(
                phrase(row.case, differing),
                _draw_ratio(row, ticks, scale, number),
                _describe(row),
            )
            for number, row in enumerate(rows)
        ),
        class_="rows",
    )


def _plot_row(label: str, drawing: Element, value: str) -> Element:
    return el("div", el("span", label), drawing, el("span", value, class_="value"), class_="row")


def _draw_tick_labels(ticks: Sequence[float], scale: Scale) -> Element:
    return el(
        "svg",
        *(
            el("text", f"{tick:.4g}", x=_percent(scale, tick), y=20, class_="tick x-label")
            for tick in ticks
        ),
        aria_hidden="true",
    )


def _draw_ratio(row: RatioRow, ticks: Sequence[float], scale: Scale, number: int) -> Element:
    title_id = f"{row.metric.value}-{number}"
    elements = [_vertical_line(_percent(scale, tick), "grid") for tick in ticks]
    elements.append(_vertical_line(_percent(scale, 1), "ratio-one"))
    ratio = row.ratio
    if ratio:
        mark = [el("circle", cx=_percent(scale, ratio.value), cy=_MIDDLE, r=4.5)]
        if ratio.low is not None and ratio.high is not None:
            low, high = _percent(scale, ratio.low), _percent(scale, ratio.high)
            mark.insert(0, el("line", x1=low, x2=high, y1=_MIDDLE, y2=_MIDDLE))
        elements.append(el("g", *mark, class_=f"mark {_verdict_class(row)}"))
    return el(
        "svg",
        el("title", f"{phrase(row.case, DIMENSIONS)}: {_describe(row)}", id=title_id),
        *elements,
        role="img",
        aria_labelledby=title_id,
    )


def _vertical_line(x: str, css_class: str) -> Element:
    return el("line", x1=x, x2=x, y1=0, y2=_HEIGHT, class_=css_class)


def _percent(scale: Scale, value: float) -> str:
    return f"{scale(value):.2f}%"


def _verdict_class(row: RatioRow) -> str:
    """Return the CSS class of a ratio's colour."""
    if row.ratio is None or not row.ratio.differs:
        return "no-difference"
    is_better = (row.ratio.value < 1) is not (row.metric is Metric.THROUGHPUT)
    return "better" if is_better else "worse"


def _describe(row: RatioRow) -> str:
    return f"{row.ratio.value:.3f} · {row.verdict}" if row.ratio else row.verdict
