"""The growth of a process: what the soak takes for a leak, and what not."""

import random

from tests.soak.growth import growth

HOURS = 12
LIVE = 50_000_000
#: an hour's leak, far below the memory that malloc keeps free
LEAK = 200_000


def kept_free():
    """Yield what malloc keeps free at the end of each hour."""
    chance = random.Random(1)  # noqa: S311
    for _ in range(HOURS):
        yield chance.choice([0, 500_000, 4_000_000, 6_000_000])


def test_memory_that_malloc_keeps_free_is_no_leak():
    assert abs(growth([LIVE + free for free in kept_free()])) < 5 * LEAK


def test_a_leak_is_found_below_it():
    values = [LIVE + free + LEAK * hour for hour, free in enumerate(kept_free())]
    assert growth(values) >= 5 * LEAK


def test_peaks_are_no_leak_and_hide_none():
    for peaks in ({0, 1, 2}, {9, 10, 11}, {0, 11}):
        values = [2 * LIVE if hour in peaks else LIVE for hour in range(HOURS)]
        assert growth(values) == 0
        leaking = [value + LEAK * hour for hour, value in enumerate(values)]
        assert growth(leaking) >= 3 * LEAK
