"""Latencies as Prometheus has them: counts below fixed bounds, that only ever grow."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from itertools import accumulate
from math import ceil, log2

from xenlib_cffi.histogram import Histogram

_FIRST_S, _LAST_S = 250e-9, 10e-3
#: Eight to an octave, which native histograms call schema 3: a quantile is known to 9 %. So are
#: the explicit buckets below some 23 µs, where a map or an unmap is without waiting; above, one
#: to an octave tells how long the tail is, as bounds are most of what a scrape costs.
SCHEMA = 3
_STEP = 2**2**-SCHEMA
_FINE = 53
_NS = 1e-9


def _bounds() -> tuple[float, ...]:
    bounds = [_FIRST_S * _STEP**place for place in range(_FINE)]
    while bounds[-1] * 2 < _LAST_S:
        bounds.append(bounds[-1] * 2)
    return (*(float(f"{bound:.4g}") for bound in bounds), _LAST_S)


#: Seconds, ascending; what is above the last is in none but the sum and the count.
BOUNDS_S = _bounds()
_NAMES = (*map(repr, BOUNDS_S), "+Inf")


class Buckets:
    """How many operations took so long, at most."""

    def __init__(self) -> None:
        """Begin with none."""
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self._native: Counter[int] = Counter()
        self._sum_s = 0.0

    def add(self, calls: Histogram, batch: int) -> None:
        """Add the operations of calls: each takes its call's time divided by the batch.

        Args:
            calls: nanoseconds of each call.
            batch: operations in a call.
        """
        for low, high, count in calls.buckets():
            seconds = (low + high) / 2 * _NS / batch
            self._counts[bisect_left(BOUNDS_S, seconds)] += count * batch
            # What took no time at all is in the bucket of the least that can be measured.
            self._native[ceil(log2(max(seconds, _NS / batch)) * 2**SCHEMA)] += count * batch
        self._sum_s += calls.sum * _NS

    @property
    def sum_s(self) -> float:
        """Seconds of all of them."""
        return self._sum_s

    @property
    def native(self) -> Mapping[int, int]:
        """How many took more than 2^((i - 1) / 8) seconds and at most 2^(i / 8), by i."""
        return self._native

    def below(self) -> list[int]:
        """Return how many took at most so long, for each bound and then for none."""
        return list(accumulate(self._counts))

    def cumulative(self) -> list[tuple[str, float]]:
        """Return the same beside each bound, as prometheus_client takes them."""
        return list(zip(_NAMES, map(float, self.below()), strict=True))
