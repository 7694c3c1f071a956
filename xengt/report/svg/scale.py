"""Scales from values to coordinates, and round values for ticks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_LOG_TICKS = ((1.4, (1, 2, 5)), (3.6, (1, 3)), (math.inf, (1,)))
"""The largest number of decades of an axis, and the mantissas of its ticks."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear or logarithmic mapping of values to coordinates.

    Args:
        low: the value at `start`; above 0 for a logarithmic scale.
        high: the value at `end`; above `low`.
        start: the coordinate of `low`.
        end: the coordinate of `high`.
        log: whether the scale is logarithmic.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value; a value out of range is moved to the nearer end."""
        inside = min(max(value, self.low), self.high)
        fraction = (
            math.log(inside / self.low) / math.log(self.high / self.low)
            if self.log
            else (inside - self.low) / (self.high - self.low)
        )
        return self.start + fraction * (self.end - self.start)


def linear_ticks(low: float, high: float, most_steps: int = 4) -> list[float]:
    """Return equidistant round values, the first at or below a range and the last at or above it.

    Args:
        low: the lower end of the range.
        high: the upper end of the range, above `low`.
        most_steps: the largest number of steps within the range.
    """
    smallest_step = (high - low) / most_steps
    power = 10 ** math.floor(math.log10(smallest_step))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= smallest_step * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * i for i in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return round values within a range, fewer per decade for a wider range.

    Args:
        low: the lower end of the range, above 0.
        high: the upper end of the range, above `low`.
    """
    decades = math.log10(high / low)
    return _round_values(low, high, next(m for limit, m in _LOG_TICKS if decades <= limit))


def log_range(values: Sequence[float]) -> tuple[float, float]:
    """Return the round ends of a logarithmic axis that contains all values.

    Args:
        values: the values, all above 0, at least one.
    """
    steps = _round_values(min(values) / 10, max(values) * 10, (1, 2, 5))
    low = max(step for step in steps if step <= min(values) * (1 + 1e-9))
    return low, min(step for step in steps if step >= max(values) * (1 - 1e-9) and step > low)


def _round_values(low: float, high: float, mantissas: Sequence[int]) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [float(f"{m}e{power}") for power in powers for m in mantissas]
    return [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
