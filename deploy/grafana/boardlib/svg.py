"""Panels as SVG, drawn with the plot functions of xengt's reports."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree.ElementTree import Element

from boardlib.panel import Panel
from boardlib.prometheus_api import Series
from xengt.report.elements import el
from xengt.report.quantity import duration_tick, rate_tick
from xengt.report.svg import plot
from xengt.report.svg.plot import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    Axis,
    Curve,
    ReferenceLine,
)
from xengt.report.svg.scale import Scale, linear_ticks, log_range, log_ticks

#: Number of distinct line colours; page.py has a style class for each.
COLOURS = 8
_NARROW_COLUMNS = 8
#: Grafana's unit → factor to the unit of the axis, and the formatter of a tick.
_UNITS: dict[str, tuple[float, Callable[[float], str]]] = {
    "s": (1e9, duration_tick),
    "bytes": (2**-20, lambda value: f"{value:g} MiB"),
    "percentunit": (100, lambda value: f"{value:g} %"),
}
_OTHER_UNIT = (1.0, rate_tick)


@dataclass(frozen=True)
class QueryResult:
    """The result of one query of a panel.

    Attributes:
        legend: template of a series' name, with labels in {{}}, as in Grafana.
        dashed: whether the lines are dashed.
        series: of the result.
    """

    legend: str
    dashed: bool
    series: Sequence[Series]

    def named(self) -> list[tuple[str, Series]]:
        """Return name and series, sorted by name."""

        def name(labels: dict[str, str]) -> str:
            return re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), self.legend)

        return sorted(((name(each.labels), each) for each in self.series), key=lambda pair: pair[0])


def draw_panel(
    panel: Panel, title: str, results: Sequence[QueryResult], times: tuple[float, float]
) -> Element:
    """Draw a panel with its title and legend as an HTML figure.

    Args:
        panel: a time series or a heatmap.
        title: its title, with variables replaced.
        results: one for each query of the panel; at least one has a series.
        times: begin and end, in seconds since the epoch.
    """
    factor, format_tick = _UNITS.get(panel.unit, _OTHER_UNIT)
    begin, end = times
    across = Scale(0, (end - begin) / 60, LEFT, RIGHT)
    ticks = [tick for tick in linear_ticks(0, across.high) if tick <= across.high]
    minutes = Axis(across, [(tick, f"{tick:g}") for tick in ticks], "minutes")
    coloured = _coloured(results)
    if panel.kind == "heatmap":
        heatmap = _heatmap(title, [series for _, series, _ in coloured], minutes, begin)
        return _figure(panel, title, heatmap)
    values = [value * factor for _, series, _ in coloured for _, value in series.points]
    up = _log(values) if panel.log else _linear([*values, (panel.limit or 0) * factor])
    steps = log_ticks(up.low, up.high) if panel.log else linear_ticks(up.low, up.high)
    lines = [
        Curve("", kind, [((at - begin) / 60, value * factor) for at, value in series.points])
        for _, series, kind in coloured
    ]
    limit = panel.limit and ReferenceLine(
        panel.limit * factor, f"alert: {format_tick(panel.limit * factor)}"
    )
    svg = plot.draw_panel(
        re.sub(r"\W+", "-", title),
        title,
        panel.description,
        (minutes, Axis(up, [(step, format_tick(step)) for step in steps], "")),
        curves=lines,
        reference_lines=[limit] if limit else [],
    )
    legend = _legend([(name, kind) for name, _, kind in coloured])
    return _figure(panel, title, _cropped(svg), legend)


def _figure(panel: Panel, title: str, *parts: Element) -> Element:
    wide = "wide" if panel.width > _NARROW_COLUMNS else None
    return el("figure", el("figcaption", title), *parts, class_=wide)


def _coloured(results: Sequence[QueryResult]) -> list[tuple[str, Series, str]]:
    """Return name, series and style class of all lines.

    A dashed query with as many series as the query before it has the same colours: its lines
    belong to those.
    """
    lines: list[tuple[str, Series, str]] = []
    first = 0
    for result in results:
        named = result.named()
        if not (result.dashed and len(named) == len(lines) - first):
            first = len(lines)
        lines += [
            (name, series, f"c{(first + index) % COLOURS}{' dashed' * result.dashed}")
            for index, (name, series) in enumerate(named)
        ]
    return lines


def _log(values: Sequence[float]) -> Scale:
    return Scale(*log_range([value for value in values if value > 0]), BOTTOM, TOP, log=True)


def _linear(values: Sequence[float]) -> Scale:
    return Scale(0, linear_ticks(0, max(*values, 1e-9) * 1.05)[-1], BOTTOM, TOP)


def _cropped(svg: Element) -> Element:
    """Remove the space for line labels on the right: the legend below the plot names the lines."""
    svg.set("viewBox", f"0 0 {RIGHT + 8:.0f} {HEIGHT:.0f}")
    return svg


def _legend(named: Sequence[tuple[str, str]]) -> Element:
    if len(named) > COLOURS:
        return el("p", f"{len(named)} cases", class_="legend")
    keys = [el("span", el("i", class_=kind), name) for name, kind in named]
    return el("p", *keys, class_="legend")


def _heatmap(title: str, buckets: Sequence[Series], minutes: Axis, begin: float) -> Element:
    """Draw the number of calls by bucket and time; darker cells have more calls.

    Args:
        title: of the panel.
        buckets: cumulative histogram buckets, with the label `le` in seconds.
        minutes: the time axis.
        begin: its origin, in seconds since the epoch.
    """
    bounds = sorted((float(each.labels["le"]) * 1e9, dict(each.points)) for each in buckets)
    cells = [
        (at, low, high, count - below.get(at, 0))
        for (low, below), (high, points) in pairwise(bounds)
        for at, count in points.items()
        if count - below.get(at, 0) > 0 and high < float("inf")
    ]
    times = sorted({at for at, *_ in cells})
    step = min((later - at for at, later in pairwise(times)), default=60.0) / 60
    most = max(count for *_, count in cells)
    low, high = log_range([edge for _, low, high, _ in cells for edge in (low, high)])
    up = Scale(low, high, BOTTOM, TOP, log=True)
    axis = Axis(up, [(tick, duration_tick(tick)) for tick in log_ticks(low, high)], "")
    across = minutes.scale
    svg = plot.draw_panel(
        "heatmap",
        title,
        "Number of calls by latency bucket and time.",
        (minutes, axis),
        curves=[Curve("", "", [(0, low)])],
    )
    rectangles = []
    for at, lower, upper, count in cells:
        x = across((at - begin) / 60)
        rectangles.append(
            el(
                "rect",
                x=x,
                y=up(upper),
                width=max(across((at - begin) / 60 + step) - x, 0.5),
                height=up(lower) - up(upper),
                fill_opacity=f"{0.12 + 0.88 * (count / most) ** 0.5:.2f}",
            )
        )
    svg.append(el("g", *rectangles, class_="mark cells"))
    return _cropped(svg)
