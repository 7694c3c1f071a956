"""Costs of mapping and copying as charts: cost per page against the number of bytes."""

from collections.abc import Sequence
from itertools import groupby
from xml.etree.ElementTree import Element

from xengt.break_even import BreakEvenRow
from xengt.report.break_even_text import title_of
from xengt.report.elements import el
from xengt.report.quantity import duration, duration_tick
from xengt.report.svg.plot import BOTTOM, LEFT, RIGHT, TOP, Axis, Curve, draw_panel
from xengt.report.svg.scale import Scale, linear_ticks
from xengt.xen.kernel import Clock

_MIN_TICK_DISTANCE = 30.0
"""The smallest distance between labels of the horizontal axis, in units of the panel."""
_COPIES = {"copy from granter": ("from", "unmap"), "copy to granter": ("to", "touch")}
"""The label and the CSS class of the curve of each direction."""


def draw_break_evens(rows: Sequence[BreakEvenRow], clock: Clock) -> Element:
    """Draw a panel for each setup that maps and each way to copy in its place.

    Args:
        rows: the rows of a document, both directions of a pair one after the other.
        clock: the clock of the document.
    """
    panels = [list(group) for _, group in groupby(rows, lambda row: (row.setup, row.copying))]
    return el(
        "div",
        *(
            el(
                "figure",
                el("figcaption", title_of(panel[0], rows)),
                draw_panel(
                    f"break-even-{number}",
                    f"Cost per page by number of bytes, {title_of(panel[0], rows)}",
                    _describe(panel, clock),
                    _axes(panel, clock),
                    curves=_curves(panel),
                ),
            )
            for number, panel in enumerate(panels)
        ),
        class_="panels",
    )


def _axes(panel: Sequence[BreakEvenRow], clock: Clock) -> tuple[Axis, Axis]:
    sizes = sorted({each.bytes for row in panel for each in row.sizes})
    costs = [cost for row in panel for each in row.sizes for cost in each.means]
    scale = Scale(0, sizes[-1], LEFT, RIGHT)
    x_ticks: list[tuple[float, str]] = []
    for size in reversed(sizes):
        if not x_ticks or scale(x_ticks[-1][0]) - scale(size) >= _MIN_TICK_DISTANCE:
            x_ticks.append((size, f"{size:,}"))
    y_ticks = linear_ticks(0, max(*costs, 1.0))
    return (
        Axis(scale, x_ticks, "bytes"),
        Axis(
            Scale(0, y_ticks[-1], BOTTOM, TOP),
            [(tick, duration_tick(tick, clock)) for tick in y_ticks],
            "time per page" if clock == "time" else "instructions per page",
        ),
    )


def _curves(panel: Sequence[BreakEvenRow]) -> list[Curve]:
    mapping = [(float(each.bytes), each.means[0]) for each in panel[0].sizes]
    curves = [Curve("map", "map", mapping, dots=True)]
    for row in panel:
        label, css_class = _COPIES[row.operation]
        points = [(float(each.bytes), each.means[1]) for each in row.sizes]
        curves.append(Curve(label, css_class, points, dots=True))
    return curves


def _describe(panel: Sequence[BreakEvenRow], clock: Clock) -> str:
    return " ".join(
        f"{row.operation}, {each.bytes} bytes: mapping {duration(each.means[0], clock)}, copying "
        f"{duration(each.means[1], clock)}."
        for row in panel
        for each in row.sizes
    )
