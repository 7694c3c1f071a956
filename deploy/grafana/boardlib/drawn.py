"""A panel's data as SVG, by what draws xengt's own reports."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree.ElementTree import Element

from boardlib.asking import Series
from boardlib.panel import Panel
from xengt.report.html.elements import el
from xengt.report.quantity import duration_tick, rate_tick
from xengt.report.svg.plot import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    Axis,
    Curve,
    ReferenceLine,
    draw_panel,
)
from xengt.report.svg.scale import Scale, linear_ticks, log_range, log_ticks

#: as many colours as are told apart
COLOURS = 8
_NARROW = 8
#: Grafana's unit → what the values are multiplied by to be drawn, and how one is written
_UNITS: dict[str, tuple[float, Callable[[float], str]]] = {
    "s": (1e9, duration_tick),
    "bytes": (2**-20, lambda value: f"{value:g} MiB"),
    "percentunit": (100, lambda value: f"{value:g} %"),
}
_PLAIN = (1.0, rate_tick)


@dataclass(frozen=True)
class Shown:
    """A query's answer.

    Attributes:
        legend: of its series, as Grafana writes one.
        dashed: drawn so.
        series: of it.
    """

    legend: str
    dashed: bool
    series: Sequence[Series]

    def named(self) -> list[tuple[str, Series]]:
        """Return the series with their names, in the order of those."""

        def name(labels: dict[str, str]) -> str:
            return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), self.legend)

        return sorted(((name(each.labels), each) for each in self.series), key=lambda one: one[0])


def drawn(made: Panel, title: str, shown: Sequence[Shown], times: tuple[float, float]) -> Element:
    """Draw a panel with its title and legend.

    Args:
        made: the panel.
        title: of it, with its variables filled in.
        shown: what each of its queries has returned; one at least has returned something.
        times: begin and end, in seconds since the epoch.
    """
    factor, written = _UNITS.get(made.unit, _PLAIN)
    begin, end = times
    across = Scale(0, (end - begin) / 60, LEFT, RIGHT)
    ticks = [tick for tick in linear_ticks(0, across.high) if tick <= across.high]
    minutes = Axis(across, [(tick, f"{tick:g}") for tick in ticks], "minutes")
    named = _coloured(shown)
    if made.kind == "heatmap":
        picture = _heatmap(title, [one for _, one, _ in named], minutes, begin)
        return _figure(made, title, picture)
    values = [value * factor for _, one, _ in named for _, value in one.points]
    up = _log(values) if made.log else _linear([*values, (made.limit or 0) * factor])
    steps = log_ticks(up.low, up.high) if made.log else linear_ticks(up.low, up.high)
    lines = [
        Curve(
            "",
            kind,
            [((at - begin) / 60, value * factor) for at, value in one.points],
        )
        for _, one, kind in named
    ]
    limit = made.limit and ReferenceLine(
        made.limit * factor, f"alert: {written(made.limit * factor)}"
    )
    svg = draw_panel(
        re.sub(r"\W+", "-", title),
        title,
        made.meaning,
        (minutes, Axis(up, [(step, written(step)) for step in steps], "")),
        curves=lines,
        reference_lines=[limit] if limit else [],
    )
    return _figure(made, title, _cropped(svg), _legend([(name, kind) for name, _, kind in named]))


def _figure(made: Panel, title: str, *parts: Element) -> Element:
    wide = "wide" if made.width > _NARROW else None
    return el("figure", el("figcaption", title), *parts, class_=wide)


def _coloured(shown: Sequence[Shown]) -> list[tuple[str, Series, str]]:
    """Name the series of all queries, and give each the class of its colour.

    A dashed query has the colours of the one before if it has as many series: it is of the same.
    """
    found: list[tuple[str, Series, str]] = []
    first = 0
    for each in shown:
        named = each.named()
        if not (each.dashed and len(named) == len(found) - first):
            first = len(found)
        found += [
            (name, one, f"c{(first + place) % COLOURS}{' dashed' * each.dashed}")
            for place, (name, one) in enumerate(named)
        ]
    return found


def _log(values: Sequence[float]) -> Scale:
    return Scale(*log_range([value for value in values if value > 0]), BOTTOM, TOP, log=True)


def _linear(values: Sequence[float]) -> Scale:
    return Scale(0, linear_ticks(0, max(*values, 1e-9) * 1.05)[-1], BOTTOM, TOP)


def _cropped(svg: Element) -> Element:
    """Leave out the room for labels: what the lines are is below the picture."""
    svg.set("viewBox", f"0 0 {RIGHT + 8:.0f} {HEIGHT:.0f}")
    return svg


def _legend(named: Sequence[tuple[str, str]]) -> Element:
    if len(named) > COLOURS:
        return el("p", f"{len(named)} cases", class_="legend")
    keys = [el("span", el("i", class_=kind), name) for name, kind in named]
    return el("p", *keys, class_="legend")


def _heatmap(title: str, series: Sequence[Series], minutes: Axis, begin: float) -> Element:
    """Draw how many were in each bucket, by time: the darker, the more."""
    bounds = sorted((float(each.labels["le"]) * 1e9, dict(each.points)) for each in series)
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
    svg = draw_panel(
        "heatmap", title, "Counts by bucket.", (minutes, axis), curves=[Curve("", "", [(0, low)])]
    )
    drawn_cells = []
    for at, lower, upper, count in cells:
        x = across((at - begin) / 60)
        drawn_cells.append(
            el(
                "rect",
                x=x,
                y=up(upper),
                width=max(across((at - begin) / 60 + step) - x, 0.5),
                height=up(lower) - up(upper),
                fill_opacity=f"{0.12 + 0.88 * (count / most) ** 0.5:.2f}",
            )
        )
    svg.append(el("g", *drawn_cells, class_="mark cells"))
    return _cropped(svg)
