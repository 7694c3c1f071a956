"""Throughput over threads as charts: measured points and the fitted law."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from xengt.report.elements import el
from xengt.report.quantity import rate, rate_tick
from xengt.report.scaling_text import title_of
from xengt.report.svg.plot import BOTTOM, LEFT, RIGHT, TOP, Axis, Curve, draw_panel
from xengt.report.svg.scale import Scale, linear_ticks
from xengt.scaling import ScalingRow

_POINTS = 60
"""The number of points of the curve of a law."""


def draw_scaling(rows: Sequence[ScalingRow]) -> Element:
    """Draw a panel for each setup, all with the same horizontal axis.

    Args:
        rows: the rows of a document.
    """
    most = max(threads for row in rows for threads in row.means)
    return el(
        "div",
        *(
            el(
                "figure",
                el("figcaption", title_of(row, rows)),
                draw_panel(
                    f"scaling-{number}",
                    f"Operations per second by threads, {title_of(row, rows)}",
                    _describe(row),
                    _axes(row, most),
                    curves=_curves(row),
                ),
            )
            for number, row in enumerate(rows)
        ),
        class_="panels",
    )


def _axes(row: ScalingRow, most: int) -> tuple[Axis, Axis]:
    threads = [float(round(tick)) for tick in linear_ticks(0, most) if tick == round(tick)]
    throughputs = linear_ticks(0, max(value for _, value in row.points))
    return (
        Axis(
            Scale(0, max(threads[-1], most), LEFT, RIGHT),
            [(tick, f"{tick:,.0f}") for tick in threads],
            "threads",
        ),
        Axis(
            Scale(0, throughputs[-1], BOTTOM, TOP),
            [(tick, rate_tick(tick)) for tick in throughputs],
            "",
        ),
    )


def _curves(row: ScalingRow) -> list[Curve]:
    means = row.means
    last = max(means)
    steps = [1 + (last - 1) * step / _POINTS for step in range(_POINTS + 1)]
    modelled = [(threads, row.law.throughput_per_s(threads)) for threads in steps]
    measured = [(float(threads), mean) for threads, mean in means.items()]
    return [Curve("law", "unmap", modelled), Curve("mean", "map", measured, dots=True)]


def _describe(row: ScalingRow) -> str:
    return " ".join(
        f"{threads} threads: measured {rate(mean)}, law {rate(row.law.throughput_per_s(threads))}."
        for threads, mean in row.means.items()
    )
