"""Subtraction of the measurement overhead, and whether a net figure is more than noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, stdev

from xengt.bench.result import Result
from xengt.statistics.confidence import CONFIDENCE
from xengt.statistics.student_t import quantile

_NORMAL_P90 = NormalDist().inv_cdf(0.9)
_MEDIAN_TO_MEAN_ERROR = 1.2533
"""The standard error of a normal sample's median over that of its mean: sqrt(pi / 2)."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of one run.

    Args:
        value: the figure, in the metric's unit. In ns per operation, it is negative if the
            measurement overhead was subtracted and was larger.
        error: the standard error within the run, in the same unit; 0 if it is not estimated.
    """

    value: float
    error: float

    def __add__(self, other: "Figure") -> "Figure":
        """Return the sum of two figures of one run, whose errors are independent."""
        return Figure(self.value + other.value, sqrt(self.error**2 + other.error**2))


def subtract_overhead(result: Result) -> Figure | None:
    """Return a result's median minus the measurement overhead, in ns per operation.

    The standard error of the median is estimated from the distance between the median and the 90th
    percentile, which outliers do not change. It counts twice (in quadrature), because the overhead
    is a median of the same loop.

    Args:
        result: an entry of a bench document.

    Returns:
        The net median; None if the document has no measurement overhead (`floor_ns` is None).
    """
    if result.floor_ns is None:
        return None
    latency = result.latency_ns
    deviation = (latency.p90 - latency.p50) / _NORMAL_P90
    error = sqrt(2) * _MEDIAN_TO_MEAN_ERROR * deviation / sqrt(result.samples)
    return Figure(latency.p50 - result.floor_ns, error)


def is_above_overhead(figures: Sequence[Figure]) -> bool:
    """Return whether a side exceeds the measurement overhead by more than its noise.

    The net figure of every run has to be positive, and so has the lower bound of a one-sided 95 %
    confidence interval of their mean. For a single run, the error within the run is used.

    Args:
        figures: the net figure of each run of the side, at least one.
    """
    values = [figure.value for figure in figures]
    if min(values) <= 0:
        return False
    if len(figures) == 1:
        return figures[0].value > NormalDist().inv_cdf(CONFIDENCE) * figures[0].error
    error = stdev(values) / sqrt(len(values))
    return sum(values) / len(values) > quantile(CONFIDENCE, len(values) - 1) * error
