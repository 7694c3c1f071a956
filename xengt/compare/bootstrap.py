"""How sure a ratio of two means is, when the sampling unit is a run.

The percentile bootstrap over runs: each side's runs are drawn again with
replacement, and the interval holds the middle of the ratios that come out.
Nothing is assumed of how runs are distributed, and the samples within a run,
which share a boot, are never taken for independent ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil
from operator import itemgetter
from random import Random

RESAMPLES = 10_000
CONFIDENCE = 0.95
SEED = 20_131_114
"""The same runs always give the same interval."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """New over base.

    Args:
        value: the ratio of the means over runs.
        low: where its interval begins, or None when a side has one run only.
        high: where its interval ends, or None likewise.
    """

    value: float
    low: float | None
    high: float | None

    @property
    def differs(self) -> bool | None:
        """Whether the interval leaves 1 out; None where there is no interval."""
        if self.low is None or self.high is None:
            return None
        return not self.low <= 1 <= self.high


def ratio(base: Sequence[float], new: Sequence[float]) -> Ratio | None:
    """Compare two sides.

    Args:
        base: one figure of each base run, at least one.
        new: one figure of each new run, at least one.

    Returns:
        The ratio, or None when the base's figures, or any resample of them,
        have no positive mean: then a ratio means nothing.
    """
    if sum(base) <= 0:
        return None
    value = _mean(new) / _mean(base)
    if len(base) == 1 or len(new) == 1:
        return Ratio(value, None, None)
    below = [sum(draw(base)) for draw in _draws(len(base), "base")]
    if min(below) <= 0:
        return None
    above = [sum(draw(new)) for draw in _draws(len(new), "new")]
    scale = len(base) / len(new)
    ratios = sorted(scale * a / b for a, b in zip(above, below, strict=True))
    tail = (1 - CONFIDENCE) / 2
    return Ratio(value, ratios[int(tail * RESAMPLES)], ratios[ceil((1 - tail) * RESAMPLES) - 1])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


@cache
def _draws(runs: int, side: str) -> list[Callable[[Sequence[float]], tuple[float, ...]]]:
    # The draws are the same for every figure of a comparison: drawing once
    # for all of them is what keeps it quick.
    random = Random(f"{SEED} {side}")  # noqa: S311 (statistics, not secrets)
    return [itemgetter(*random.choices(range(runs), k=runs)) for _ in range(RESAMPLES)]
