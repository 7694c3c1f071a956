"""Axes: where a value lies in a picture, and the round values that get a label."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Beyond so many decades the next coarser ticks are used.
_TICKS = ((1.4, (1, 2, 5)), (3.6, (1, 3)), (math.inf, (1,)))


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values to places in a picture.

    Args:
        low: the value at `start`.
        high: the value at `end`, above `low`.
        start: a coordinate.
        end: a coordinate.
        log: whether equal ratios are equal distances; then `low` is above 0.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value; what lies outside is moved to the edge."""
        inside = min(max(value, self.low), self.high)
        part = (
            math.log(inside / self.low) / math.log(self.high / self.low)
            if self.log
            else (inside - self.low) / (self.high - self.low)
        )
        return self.start + part * (self.end - self.start)


def linear_ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Choose round values, the first at or below a range and the last at or above it.

    Args:
        low: where the range begins.
        high: where it ends, above `low`.
        about: how many steps the range should have at the most.
    """
    rough = (high - low) / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * i for i in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Choose round values within a range: the wider it is, the fewer to a decade.

    Args:
        low: where the range begins, above 0.
        high: where it ends.
    """
    decades = math.log10(high / low)
    return _within(low, high, next(steps for limit, steps in _TICKS if decades <= limit))


def log_range(values: Sequence[float]) -> tuple[float, float]:
    """Widen values to round ends for a logarithmic axis.

    Args:
        values: all of what is shown, above 0.
    """
    steps = _within(min(values) / 10, max(values) * 10, (1, 2, 5))
    low = max(step for step in steps if step <= min(values) * (1 + 1e-9))
    return low, min(step for step in steps if step >= max(values) * (1 - 1e-9) and step > low)


def _within(low: float, high: float, mantissas: Sequence[int]) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [float(f"{m}e{power}") for power in powers for m in mantissas]
    return [each for each in every if low * (1 - 1e-9) <= each <= high * (1 + 1e-9)]
