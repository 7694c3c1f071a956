"""The latency distribution as pictures: a panel a case, time by percentile."""

import math
from collections.abc import Sequence
from xml.etree.ElementTree import Element

from xengt.bench.dimensions import kind, panels, short
from xengt.bench.result import Result
from xengt.report.html.elements import el
from xengt.report.quantity import duration, duration_tick
from xengt.report.svg.plot import BOTTOM, LEFT, RIGHT, TOP, Axis, Level, Line, panel
from xengt.report.svg.scale import Scale, log_range, log_ticks
from xengt.xen.kernel import Clock
from xenlib_cffi.histogram import Histogram

# No call takes no time: what is shown as 0 is too short for a logarithmic axis.
_SHORTEST = 0.01
# Floors that are nearer to one another than this are one line, or their labels would overlap.
_TOGETHER = 1.2
_PERCENTILES = (50, 90, 99, 99.9, 99.99, 99.999, 99.9999)


def distributions(engine: str, results: Sequence[Result], clock: Clock) -> Element:
    """Draw an engine's results, all on the same axes.

    Args:
        engine: the name that keeps its panels apart from another's.
        results: of one engine, at least one.
        clock: of their host.
    """
    curves = {result: _curve(result) for result in results}
    times = [ns for curve in curves.values() for _, ns in curve]
    floors = [max(result.floor_ns, _SHORTEST) for result in results if result.floor_ns is not None]
    low, high = log_range([*times, *floors])
    furthest = max(curve[-1][0] for curve in curves.values())
    axes = (
        Axis(
            Scale(0, furthest, LEFT, RIGHT),
            [(_depth(q), f"{q:g}") for q in _PERCENTILES if _depth(q) <= furthest],
            "percentile of the calls",
        ),
        Axis(
            Scale(low, high, BOTTOM, TOP, log=True),
            [(each, duration_tick(each, clock)) for each in log_ticks(low, high)],
            "time per operation" if clock == "time" else "instructions per operation",
        ),
    )
    return el(
        "div",
        *(
            el(
                "figure",
                el("figcaption", caption),
                panel(
                    f"latency-{engine}-{number}",
                    f"Latency per operation, {engine}, {caption}",
                    _in_words(shown, clock),
                    axes,
                    lines=[Line(short(r.case), kind(r.case), curves[r], steps=True) for r in shown],
                    levels=_floors(shown, clock),
                ),
            )
            for number, (caption, shown) in enumerate(panels(results, "operation"))
        ),
        class_="panels",
    )


def _depth(percent: float) -> float:
    """Return how far out a percentile lies: one unit for each nine."""
    return -math.log10(1 - percent / 100)


def _curve(result: Result) -> list[tuple[float, float]]:
    """Return the quantile function as steps: depth, and ns per operation from there on."""
    calls = Histogram.decode(result.histogram)
    batch = result.case.batch
    below, points = 0, []
    for _, highest, count in calls.buckets():
        depth = math.log10(calls.count / (calls.count - below))
        points.append((depth, max(min(highest, calls.max) / batch, _SHORTEST)))
        below += count
    # The slowest call holds for the last 1/n of the calls: show half of that.
    return [*points, (math.log10(2 * calls.count), points[-1][1])]


def _floors(results: Sequence[Result], clock: Clock) -> list[Level]:
    """One floor for all where they lie together, else each operation's own in its colour."""
    floors = {kind(r.case): r.floor_ns for r in results if r.floor_ns is not None}
    if not floors:
        return []
    low, high = min(floors.values()), max(floors.values())
    if high <= _TOGETHER * low:
        floor = sum(floors.values()) / len(floors)
        return [Level(max(floor, _SHORTEST), f"floor {duration(floor, clock)}")]
    return [
        Level(max(floor, _SHORTEST), f"floor {duration(floor, clock)}", of, under=floor == low)
        for of, floor in floors.items()
    ]


def _in_words(results: Sequence[Result], clock: Clock) -> str:
    return " ".join(
        f"{result.case.operation}: median {duration(result.latency_ns.p50, clock)}, "
        f"99th percentile {duration(result.latency_ns.p99, clock)}, "
        f"slowest {duration(result.latency_ns.max, clock)}."
        for result in results
    )
