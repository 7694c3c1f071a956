"""The ratio of two sides with a confidence interval, when the sampling unit is a run.

Student's t interval on the logarithms of the runs' figures: a boot multiplies what is measured, so
the noise is symmetric on this scale, and the interval is right for three runs as for twenty. It
assumes that the relative noise is the same on both sides, as it is on one host.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt

from xengt.compare.student_t import quantile

CONFIDENCE = 0.95
METHOD = "Student's t on logarithms"
POWER = 0.8
"""The probability with which `runs_needed` runs show a difference that exists."""

_MOST_RUNS = 1000
"""Beyond this number, nobody boots a host for a figure."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """New over base.

    Args:
        value: the ratio of the geometric means over runs.
        low: lower end of its interval, or None if a side has only one run.
        high: upper end, or None likewise.
    """

    value: float
    low: float | None
    high: float | None

    @property
    def differs(self) -> bool | None:
        """Whether the interval excludes 1; None if there is no interval."""
        if self.low is None or self.high is None:
            return None
        return not self.low <= 1 <= self.high


def ratio(base: Sequence[float], new: Sequence[float]) -> Ratio:
    """Compare two sides.

    Args:
        base: one figure of each base run, at least one, all positive.
        new: one figure of each new run, at least one, all positive.

    Raises:
        ValueError: a figure is not positive, or a side has none.
    """
    before, after = _logarithms(base), _logarithms(new)
    shift = _mean(after) - _mean(before)
    if len(base) == 1 or len(new) == 1:
        return Ratio(exp(shift), None, None)
    freedom = len(base) + len(new) - 2
    error = _deviation(before, after) * sqrt(1 / len(base) + 1 / len(new))
    reach = quantile((1 + CONFIDENCE) / 2, freedom) * error
    return Ratio(exp(shift), exp(shift - reach), exp(shift + reach))


def runs_needed(base: Sequence[float], new: Sequence[float], wanted: float) -> int | None:
    """Return how many runs on each side show a difference with a probability of `POWER`.

    Args:
        base: one figure of each base run, all positive.
        new: one figure of each new run, all positive.
        wanted: the ratio new/base to tell from 1; positive and not 1.

    Returns:
        The number, at least 2; None if the runs at hand say nothing of the noise, or if more than
        1,000 runs are needed.
    """
    if len(base) + len(new) < 3 or not wanted > 0 or wanted == 1:  # noqa: PLR2004
        return None
    deviation = _deviation(_logarithms(base), _logarithms(new))
    for runs in range(2, _MOST_RUNS + 1):
        freedom = 2 * runs - 2
        factor = quantile((1 + CONFIDENCE) / 2, freedom) + quantile(POWER, freedom)
        if factor * deviation * sqrt(2 / runs) <= abs(log(wanted)):
            return runs
    return None


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of a side's runs.

    Args:
        values: one figure of each run, all positive.
    """
    return exp(_mean(_logarithms(values)))


def _logarithms(values: Sequence[float]) -> list[float]:
    if not values or min(values) <= 0:
        raise ValueError(f"a ratio needs positive figures, not {list(values)}")
    return [log(value) for value in values]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _deviation(*sides: Sequence[float]) -> float:
    """Return the standard deviation within a side, pooled over the sides."""
    squares = sum((value - _mean(side)) ** 2 for side in sides for value in side)
    return sqrt(squares / (sum(map(len, sides)) - len(sides)))
