"""Latency distributions as charts: latency against percentile, one panel per case."""

import math
from collections.abc import Sequence
from xml.etree.ElementTree import Element

from xengt.bench.result import Result
from xengt.report.elements import el
from xengt.report.panels import group_into_panels, operation_class, operation_label
from xengt.report.quantity import duration, duration_tick
from xengt.report.svg.plot import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Axis,
    Curve,
    ReferenceLine,
    draw_panel,
)
from xengt.report.svg.scale import Scale, log_range, log_ticks
from xengt.xen.kernel import Clock
from xenlib_cffi.histogram import Histogram

_SHORTEST_NS = 0.01
"""The smallest latency on the axis: a logarithmic axis has no 0."""
_DISTINCT_RATIO = 1.2
"""Overheads whose ratio is at most this are drawn as one line, as their labels would overlap."""
_LABELLED_PERCENTILES = (50, 90, 99, 99.9, 99.99, 99.999, 99.9999)


def draw_latency_distributions(engine: str, results: Sequence[Result], clock: Clock) -> Element:
    """Draw an engine's latency distributions, all panels with the same axes.

    Args:
        engine: the name of the engine, which makes the ids of its panels unique.
        results: the engine's results, at least one.
        clock: the clock of the results' host.
    """
    quantiles = {result: _quantile_function(result) for result in results}
    latencies = [ns for points in quantiles.values() for _, ns in points]
    overheads = [
        max(result.floor_ns, _SHORTEST_NS) for result in results if result.floor_ns is not None
    ]
    low, high = log_range([*latencies, *overheads])
    end = max(points[-1][0] for points in quantiles.values())
    axes = (
        Axis(
            Scale(0, end, LEFT, RIGHT),
            [(_nines(q), f"{q:g}") for q in _LABELLED_PERCENTILES if _nines(q) <= end],
            "percentile of the calls",
        ),
        Axis(
            Scale(low, high, BOTTOM, TOP, log=True),
            [(tick, duration_tick(tick, clock)) for tick in log_ticks(low, high)],
            "time per operation" if clock == "time" else "instructions per operation",
        ),
    )
    return el(
        "div",
        *(
            el(
                "figure",
                el("figcaption", caption),
                draw_panel(
                    f"latency-{engine}-{number}",
                    f"Latency per operation, {engine}, {caption}",
                    _describe(in_panel, clock),
                    axes,
                    curves=[
                        Curve(
                            operation_label(result.case),
                            operation_class(result.case),
                            quantiles[result],
                            steps=True,
                        )
                        for result in in_panel
                    ],
                    reference_lines=_overhead_lines(in_panel, clock),
                ),
            )
            for number, (caption, in_panel) in enumerate(group_into_panels(results, "operation"))
        ),
        class_="panels",
    )


def _nines(percentile: float) -> float:
    """Return the number of nines of a percentile, the horizontal coordinate: 2 for 99."""
    return -math.log10(1 - percentile / 100)


def _quantile_function(result: Result) -> list[tuple[float, float]]:
    """Return the quantile function as steps: number of nines, ns per operation from there on."""
    histogram = Histogram.decode(result.histogram)
    batch = result.case.batch
    below, points = 0, []
    for _, highest, count in histogram.buckets():
        nines = math.log10(histogram.count / (histogram.count - below))
        points.append((nines, max(min(highest, histogram.max) / batch, _SHORTEST_NS)))
        below += count
    # The last step, of the slowest of n calls, has no right end: it is drawn up to 1 - 1/(2n).
    return [*points, (math.log10(2 * histogram.count), points[-1][1])]


def _overhead_lines(results: Sequence[Result], clock: Clock) -> list[ReferenceLine]:
    """Return one line if the overheads are close together, else a coloured line per operation."""
    overheads = {
        operation_class(result.case): result.floor_ns
        for result in results
        if result.floor_ns is not None
    }
    if not overheads:
        return []
    low, high = min(overheads.values()), max(overheads.values())
    if high <= _DISTINCT_RATIO * low:
        mean = sum(overheads.values()) / len(overheads)
        return [ReferenceLine(max(mean, _SHORTEST_NS), _overhead_label(mean, clock))]
    return [
        ReferenceLine(
            max(overhead, _SHORTEST_NS),
            _overhead_label(overhead, clock),
            css_class,
            label_below=overhead == low,
        )
        for css_class, overhead in overheads.items()
    ]


def _overhead_label(ns: float, clock: Clock) -> str:
    return f"overhead {duration(ns, clock)}"


def _describe(results: Sequence[Result], clock: Clock) -> str:
    return " ".join(
        f"{result.case.operation}: median {duration(result.latency_ns.p50, clock)}, "
        f"99th percentile {duration(result.latency_ns.p99, clock)}, "
        f"maximum {duration(result.latency_ns.max, clock)}."
        for result in results
    )
