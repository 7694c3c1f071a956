"""Counts of live mappings while other vCPUs unmap, which no advisory is about."""

import itertools

import pytest

from tests.hypervisor.advisories.test_interleaving import ACQUIRE, RELEASE
from tests.hypervisor.binding import HOST, OKAY, Machine

#: reserved references are recorded in the maptrack table, others in the active entry
SLOW, FAST = 3, 9
#: of the first maptrack page
HANDLES = 256


@pytest.fixture
def machine(machine) -> Machine:
    if machine.ffi.string(machine.calls.name) == b"stock":
        pytest.skip("stock does not count mappings")
    return machine


def counts_at(machine, ref: int, point: int) -> tuple[tuple[int, int], bool] | None:
    """Map a reference; at a point without locks, have another vCPU unmap it and read the counts.

    Returns the counts of fast and slow mappings and whether there was something to unmap, or None
    past the last point.
    """
    machine.reset()
    granter, mapper = machine.create_pair()
    fast_handle = 0x80000000 | granter.domid << 16 | ref
    requests = [(handle, mapper.address(2), 0) for handle in (fast_handle, *range(HANDLES))]
    held, points_passed, seen = [], itertools.count(), []

    def handler(name, subject):
        if name.startswith(RELEASE) and subject in held:
            held.remove(subject)
        if not held and next(points_passed) == point:
            statuses = mapper.on(1, 1).unmap_all(requests)
            state = mapper.state
            seen.append(((state.fast, state.slow), OKAY in statuses))
        if name.startswith(ACQUIRE):
            held.append(subject)

    with machine.record_events(handler):
        assert mapper.map(granter, ref, HOST, entry=2).status == OKAY
    return seen[0] if seen else None


@pytest.mark.parametrize("ref", [FAST, SLOW])
def test_a_mapping_is_counted_before_it_can_be_unmapped(machine, ref):
    unmapped = 0
    for point in itertools.count():
        seen = counts_at(machine, ref, point)
        if seen is None:
            break
        counts, was_live = seen
        unmapped += was_live
        # A negative difference would be a number close to 2^64.
        assert max(counts) <= 1
        assert not (was_live and any(counts))
    assert unmapped > 0
