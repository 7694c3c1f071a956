"""Throughput as pictures: by batch and by threads, or as bars where neither varies."""

from collections.abc import Sequence
from dataclasses import replace
from xml.etree.ElementTree import Element

from xengt.bench.dimensions import kind, panels, phrase, short, varying, word
from xengt.bench.result import Result
from xengt.report.html.elements import el
from xengt.report.quantity import rate, rate_tick
from xengt.report.svg.plot import BOTTOM, LEFT, RIGHT, TOP, Axis, Line, panel
from xengt.report.svg.scale import Scale, linear_ticks

# Labels of neighbouring ticks need this much room.
_TICK_ROOM = 22.0


def lines(engine: str, by: str, results: Sequence[Result]) -> Element:
    """Draw an engine's throughput by one dimension, all panels on the same axes.

    Args:
        engine: the name that keeps its panels apart from another's.
        by: the dimension along the horizontal axis, `batch` or `threads`; it varies.
        results: of one engine, at least one.
    """
    values = sorted({getattr(result.case, by) for result in results})
    # Batches double, threads count up.
    scale = Scale(values[0], values[-1], LEFT + 10, RIGHT - 6, log=by == "batch")
    ticks = linear_ticks(0, max(result.throughput_per_s for result in results))
    axes = (
        Axis(scale, _apart(values, scale), f"{by}"),
        Axis(Scale(0, ticks[-1], BOTTOM, TOP), [(each, rate_tick(each)) for each in ticks], ""),
    )
    return el(
        "div",
        *(
            el(
                "figure",
                el("figcaption", caption),
                panel(
                    f"throughput-{engine}-{by}-{number}",
                    f"Operations per second by {by}, {engine}, {caption}",
                    _in_words(by, shown),
                    axes,
                    lines=_lines(by, shown),
                ),
            )
            for number, (caption, shown) in enumerate(panels(results, "operation", by))
        ),
        class_="panels",
    )


def _apart(values: Sequence[int], scale: Scale) -> list[tuple[float, str]]:
    """Label the measured values, leaving out those that would touch the one before."""
    kept: list[tuple[float, str]] = []
    for value in reversed(values):
        if not kept or scale(kept[-1][0]) - scale(value) >= _TICK_ROOM:
            kept.append((value, f"{value:,}"))
    return kept


def _lines(by: str, results: Sequence[Result]) -> list[Line]:
    made: list[Line] = []
    for operation in dict.fromkeys(result.case.operation for result in results):
        of = [result for result in results if result.case.operation == operation]
        points = sorted((float(getattr(each.case, by)), each.throughput_per_s) for each in of)
        if made and made[-1].points == points:
            made[-1] = replace(made[-1], label="both", kind="both")
        else:
            made.append(Line(short(of[0].case), kind(of[0].case), points, dots=True))
    return made


def _in_words(by: str, results: Sequence[Result]) -> str:
    return " ".join(
        f"{each.case.operation}, {by} {word(each.case, by)}: {rate(each.throughput_per_s)}."
        for each in results
    )


def bars(results: Sequence[Result]) -> Element:
    """Draw one bar for each result.

    Args:
        results: of a document, at least one.
    """
    highest = max(result.throughput_per_s for result in results)
    names = {*varying(result.case for result in results), "operation"}
    rows = []
    for number, result in enumerate(results):
        said = rate(result.throughput_per_s)
        label = phrase(result.case, [n for n in ("engine", "granter", "operation") if n in names])
        name = f"bar-{number}"
        width = f"{100 * result.throughput_per_s / highest:.2f}%"
        rows.append(
            el(
                "div",
                el("span", label),
                el(
                    "svg",
                    el("title", f"{label}: {said}", id=f"{name}-title"),
                    el(
                        "g",
                        el("rect", x=0, y=8, width=width, height=14, rx=2),
                        class_=f"mark {kind(result.case)}",
                    ),
                    role="img",
                    aria_labelledby=f"{name}-title",
                ),
                el("span", said, class_="said"),
                class_="row",
            )
        )
    return el("div", *rows, class_="rows")
