"""Histograms of the probe's latencies: cumulative counters with fixed bucket bounds."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import ceil, log2

from xenlib_cffi.histogram import Histogram

_FIRST_S, _LAST_S = 250e-9, 1.0
#: where the tail begins
_TAIL_S = 10e-3
#: Eight buckets per octave, which native histograms call schema 3, so that a quantile is known to
#: 9 %. The explicit buckets are as fine up to about 23 µs, which includes a map or an unmap that
#: does not wait. Above, one bucket per octave is enough to see how long the tail is, and one in
#: two octaves above 10 ms, where a vCPU has waited for a CPU: bounds are most of the cost of a
#: scrape.
SCHEMA = 3
_STEP = 2**2**-SCHEMA
_FINE = 53
_NS = 1e-9


def _bounds() -> tuple[float, ...]:
    bounds = [_FIRST_S * _STEP**place for place in range(_FINE)]
    while bounds[-1] * 2 < _TAIL_S:
        bounds.append(bounds[-1] * 2)
    while bounds[-1] * 4 < _LAST_S:
        bounds.append(bounds[-1] * 4)
    return (*(float(f"{bound:.4g}") for bound in bounds), _LAST_S)


#: Upper bounds in seconds, ascending, without +Inf.
BOUNDS_S = _bounds()
#: Places in the cumulative counts of the lean profile's bounds: 4 µs, 23 µs, 181 µs, 5.8 ms, 1 s
#: and +Inf. The probe's median, which they do not show, is a metric of its own.
LEAN_PLACES = (32, 52, 55, 60, -2, -1)
_NAMES = (*map(repr, BOUNDS_S), "+Inf")


class Buckets:
    """A histogram of the latencies of operations."""

    def __init__(self) -> None:
        """Begin without observations."""
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self._native: Counter[int] = Counter()
        self._sum_s = 0.0
        self._cumulative = [0] * len(self._counts)

    def add(self, calls: Histogram, batch: int) -> None:
        """Add the operations of calls: each takes its call's time divided by the batch.

        Args:
            calls: durations of calls in nanoseconds.
            batch: operations per call.
        """
        for low, high, count in calls.buckets():
            seconds = (low + high) / 2 * _NS / batch
            self._counts[bisect_left(BOUNDS_S, seconds)] += count * batch
            # A duration of 0 has no logarithm: it counts as the shortest that can be measured.
            self._native[ceil(log2(max(seconds, _NS / batch)) * 2**SCHEMA)] += count * batch
        self._sum_s += calls.sum * _NS
        self._cumulative = list(accumulate(self._counts))

    @property
    def sum_s(self) -> float:
        """The sum of all latencies in seconds."""
        return self._sum_s

    @property
    def native_counts(self) -> Mapping[int, int]:
        """Observations above 2^((i - 1) / 8) and up to 2^(i / 8) seconds, by i."""
        return self._native

    def cumulative_counts(self) -> Sequence[int]:
        """Return how many observations each bound includes, ending with +Inf."""
        return self._cumulative

    def cumulative_buckets(self) -> list[tuple[str, float]]:
        """Return (bound, cumulative count) pairs, as prometheus_client takes them."""
        return list(zip(_NAMES, map(float, self._cumulative), strict=True))
