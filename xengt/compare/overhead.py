"""Whether a net figure is above the measurement overhead, or only noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, stdev

from xengt.bench.result import Result
from xengt.compare.student_t import quantile

CONFIDENCE = 0.95

_P90 = NormalDist().inv_cdf(0.9)
_MEDIAN = 1.2533
"""The standard error of a normal sample's median, in units of that of its mean."""


@dataclass(frozen=True, slots=True)
class Net:
    """A figure of one run from which the measurement overhead was subtracted.

    Args:
        value: the figure, in ns per operation; negative where the overhead was above it.
        error: its standard error within the run, in ns.
    """

    value: float
    error: float

    def __add__(self, other: "Net") -> "Net":
        """Return the sum of two figures of a run, whose errors are independent."""
        return Net(self.value + other.value, sqrt(self.error**2 + other.error**2))


def net(result: Result) -> Net | None:
    """Subtract the overhead from a result's median; None if the engine has no overhead figure.

    The error is that of the median, from the distance between the median and the 90th percentile,
    which outliers do not move; twice, as the overhead is a median of the same loop.
    """
    if result.floor_ns is None:
        return None
    latency = result.latency_ns
    spread = (latency.p90 - latency.p50) / _P90
    error = sqrt(2) * _MEDIAN * spread / sqrt(result.samples)
    return Net(latency.p50 - result.floor_ns, error)


def is_above_overhead(runs: Sequence[Net]) -> bool:
    """Tell whether a side exceeds the measurement overhead by more than its noise.

    Every run has to be above the overhead, and so does the lower bound of a one-sided 95 %
    confidence interval of their mean. Of one run, the error within the run stands in.

    Args:
        runs: one figure of each run of the side, at least one.
    """
    values = [run.value for run in runs]
    if min(values) <= 0:
        return False
    if len(runs) == 1:
        return runs[0].value > NormalDist().inv_cdf(CONFIDENCE) * runs[0].error
    error = stdev(values) / sqrt(len(values))
    return sum(values) / len(values) > quantile(CONFIDENCE, len(values) - 1) * error
