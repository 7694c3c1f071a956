"""The ratio of two sides with a confidence interval whose sampling unit is a run.

The interval is Student's t interval on the logarithms of the runs' figures. The effects of a boot
are multiplicative, so the noise is symmetric on the logarithmic scale, and the interval has its
nominal coverage for three runs as well as for twenty. It assumes that both sides have the same
relative noise, as two sides measured on one host have.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt

from xengt.statistics.confidence import interval_factor
from xengt.statistics.student_t import quantile

METHOD = "Student's t on logarithms"
POWER = 0.8
"""The probability with which `runs_needed` runs detect an existing difference."""

_MOST_RUNS = 1000
"""The largest number of runs that `runs_needed` returns: more reboots are not practical."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio new/base.

    Args:
        value: the ratio of the geometric means over the runs.
        low: the lower end of the confidence interval; None if a side has only one run.
        high: the upper end of the confidence interval; None if a side has only one run.
    """

    value: float
    low: float | None
    high: float | None

    @property
    def differs(self) -> bool | None:
        """Whether the confidence interval excludes 1; None without an interval."""
        if self.low is None or self.high is None:
            return None
        return not self.low <= 1 <= self.high


def estimate_ratio(base: Sequence[float], new: Sequence[float]) -> Ratio:
    """Estimate the ratio new/base.

    Args:
        base: one figure of each base run, at least one, all positive, in any unit.
        new: one figure of each new run, at least one, all positive, in the same unit.

    Raises:
        ValueError: a figure is not positive, or a side has no figure.
    """
    log_base, log_new = _logarithms(base), _logarithms(new)
    difference = _mean(log_new) - _mean(log_base)
    if len(base) == 1 or len(new) == 1:
        return Ratio(exp(difference), None, None)
    freedom = len(base) + len(new) - 2
    error = _pooled_deviation(log_base, log_new) * sqrt(1 / len(base) + 1 / len(new))
    half_width = interval_factor(freedom) * error
    return Ratio(exp(difference), exp(difference - half_width), exp(difference + half_width))


def runs_needed(base: Sequence[float], new: Sequence[float], target_ratio: float) -> int | None:
    """Return the number of runs per side that detect a ratio with a probability of `POWER`.

    Args:
        base: one figure of each base run, all positive.
        new: one figure of each new run, all positive.
        target_ratio: the ratio new/base to detect; positive and not 1.

    Returns:
        The number of runs, at least 2; None if the given runs are too few to estimate the noise,
        or if more than 1,000 runs are needed.
    """
    if len(base) + len(new) < 3 or not target_ratio > 0 or target_ratio == 1:  # noqa: PLR2004
        return None
    deviation = _pooled_deviation(_logarithms(base), _logarithms(new))
    for runs in range(2, _MOST_RUNS + 1):
        freedom = 2 * runs - 2
        factor = interval_factor(freedom) + quantile(POWER, freedom)
        if factor * deviation * sqrt(2 / runs) <= abs(log(target_ratio)):
            return runs
    return None


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean.

    Args:
        values: one figure of each run, at least one, all positive.

    Raises:
        ValueError: a figure is not positive, or there is none.
    """
    return exp(_mean(_logarithms(values)))


def _logarithms(values: Sequence[float]) -> list[float]:
    if not values or min(values) <= 0:
        raise ValueError(f"a ratio requires positive figures, not {list(values)}")
    return [log(value) for value in values]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _pooled_deviation(*sides: Sequence[float]) -> float:
    """Return the standard deviation within the sides, pooled over them."""
    squares = sum((value - _mean(side)) ** 2 for side in sides for value in side)
    return sqrt(squares / (sum(map(len, sides)) - len(sides)))
