"""Buckets: the bounds, and the bucket of each operation."""

from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xengt.serve.buckets import BOUNDS_S, LEAN_PLACES, Buckets
from xenlib_cffi.histogram import Histogram


def test_bounds_are_from_250_ns_to_1_s():
    assert (BOUNDS_S[0], BOUNDS_S[-1]) == (250e-9, 1.0)
    steps = [high / low for low, high in pairwise(BOUNDS_S)]
    fine = [step for (low, _), step in zip(pairwise(BOUNDS_S), steps, strict=True) if low < 22e-6]
    assert all(1 < step < 1.0915 for step in fine)
    body = [step for (low, _), step in zip(pairwise(BOUNDS_S), steps, strict=True) if low < 5e-3]
    assert all(1 < step < 2.001 for step in body)
    assert all(1 < step < 4.001 for step in steps)


def test_the_lean_bounds_reach_as_far():
    counts = [*BOUNDS_S, inf]
    lean = [counts[place] for place in LEAN_PLACES]
    assert lean == sorted(lean)
    assert lean[-2:] == [1.0, inf]
    assert len(lean) < len(counts) / 10


def test_a_p99_above_10_ms_is_visible():
    calls, buckets = Histogram(), Buckets()
    calls.record(20_000_000, 99)
    calls.record(300_000_000, 2)
    buckets.add(calls, 1)
    upper = next(float(name) for name, count in buckets.cumulative_buckets() if count >= 99.5)
    assert 0.3 <= upper < 0.6


@given(st.lists(st.integers(0, 10**9), max_size=50), st.sampled_from([1, 32]))
def test_each_operation_counts_in_its_bucket(nanoseconds, batch):
    calls, buckets = Histogram(), Buckets()
    for value in nanoseconds:
        calls.record(value)
    buckets.add(calls, batch)
    *bounded, (last, total) = buckets.cumulative_buckets()
    assert (last, total) == ("+Inf", batch * len(nanoseconds))
    assert buckets.sum_s == pytest.approx(sum(nanoseconds) * 1e-9)
    for bound, (name, count) in zip(BOUNDS_S, bounded, strict=True):
        assert float(name) == bound
        # A value is exact to 0.1 %: near a bound, it may count on either side.
        least = sum(value * 1e-9 / batch <= bound * 0.998 for value in nanoseconds)
        most = sum(value * 1e-9 / batch <= bound * 1.002 for value in nanoseconds)
        assert batch * least <= count <= batch * most


def test_counts_accumulate():
    calls, buckets = Histogram(), Buckets()
    calls.record(3000, 2)
    buckets.add(calls, 1)
    buckets.add(calls, 1)
    assert buckets.cumulative_buckets()[-1][1] == 4
    assert buckets.sum_s == pytest.approx(12e-6)
