"""Throughput as charts: curves by batch or threads, or bars if neither varies."""

from collections.abc import Sequence
from dataclasses import replace
from xml.etree.ElementTree import Element

from xengt.bench.case_text import phrase, varying, word
from xengt.bench.result import Result
from xengt.report.elements import el
from xengt.report.panels import group_into_panels, operation_class, operation_label
from xengt.report.quantity import rate, rate_tick
from xengt.report.svg.plot import BOTTOM, LEFT, RIGHT, TOP, Axis, Curve, draw_panel
from xengt.report.svg.scale import Scale, linear_ticks

_TICK_DISTANCE = 22.0
"""The smallest distance between labelled ticks, in units of the panel."""


def draw_throughput_curves(engine: str, dimension: str, results: Sequence[Result]) -> Element:
    """Draw an engine's throughput against one dimension, all panels with the same axes.

    Args:
        engine: the name of the engine, which makes the ids of its panels unique.
        dimension: the dimension of the horizontal axis, `batch` or `threads`; it varies.
        results: the engine's results, at least one.
    """
    values = sorted({getattr(result.case, dimension) for result in results})
    # Batch sizes are usually powers of two, numbers of threads consecutive.
    scale = Scale(values[0], values[-1], LEFT + 10, RIGHT - 6, log=dimension == "batch")
    ticks = linear_ticks(0, max(result.throughput_per_s for result in results))
    axes = (
        Axis(scale, _spaced_ticks(values, scale), dimension),
        Axis(Scale(0, ticks[-1], BOTTOM, TOP), [(tick, rate_tick(tick)) for tick in ticks], ""),
    )
    return el(
        "div",
        *(
            el(
                "figure",
                el("figcaption", caption),
                draw_panel(
                    f"throughput-{engine}-{dimension}-{number}",
                    f"Operations per second by {dimension}, {engine}, {caption}",
                    _describe(dimension, in_panel),
                    axes,
                    curves=_curves(dimension, in_panel),
                ),
            )
            for number, (caption, in_panel) in enumerate(
                group_into_panels(results, "operation", dimension)
            )
        ),
        class_="panels",
    )


def _spaced_ticks(values: Sequence[int], scale: Scale) -> list[tuple[float, str]]:
    """Return the measured values as ticks, without those too close to a larger one."""
    ticks: list[tuple[float, str]] = []
    for value in reversed(values):
        if not ticks or scale(ticks[-1][0]) - scale(value) >= _TICK_DISTANCE:
            ticks.append((value, f"{value:,}"))
    return ticks


def _curves(dimension: str, results: Sequence[Result]) -> list[Curve]:
    """Return a curve per operation; consecutive equal ones are a single curve for both."""
    curves: list[Curve] = []
    for operation in dict.fromkeys(result.case.operation for result in results):
        of_operation = [result for result in results if result.case.operation == operation]
        points = sorted(
            (float(getattr(result.case, dimension)), result.throughput_per_s)
            for result in of_operation
        )
        if curves and curves[-1].points == points:
            curves[-1] = replace(curves[-1], label="both", css_class="both")
        else:
            case = of_operation[0].case
            curves.append(Curve(operation_label(case), operation_class(case), points, dots=True))
    return curves


def _describe(dimension: str, results: Sequence[Result]) -> str:
    return " ".join(
        f"{result.case.operation}, {dimension} {word(result.case, dimension)}: "
        f"{rate(result.throughput_per_s)}."
        for result in results
    )


def draw_throughput_bars(results: Sequence[Result]) -> Element:
    """Draw one bar for each result.

    Args:
        results: the results of a document, at least one.
    """
    highest = max(result.throughput_per_s for result in results)
    differing = {*varying(result.case for result in results), "operation"}
    in_label = [name for name in ("engine", "granter", "operation") if name in differing]
    rows = []
    for number, result in enumerate(results):
        throughput = rate(result.throughput_per_s)
        label = phrase(result.case, in_label)
        title_id = f"bar-{number}-title"
        width = f"{100 * result.throughput_per_s / highest:.2f}%"
        rows.append(
            el(
                "div",
                el("span", label),
                el(
                    "svg",
                    el("title", f"{label}: {throughput}", id=title_id),
                    el(
                        "g",
                        el("rect", x=0, y=8, width=width, height=14, rx=2),
                        class_=f"mark {operation_class(result.case)}",
                    ),
                    role="img",
                    aria_labelledby=title_id,
                ),
                el("span", throughput, class_="value"),
                class_="row",
            )
        )
    return el("div", *rows, class_="rows")
