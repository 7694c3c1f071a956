"""What limits the number of mappings, which no advisory is about."""

import pytest

from tests.hypervisor.binding import DEVICE, HOST, NO_SPACE, OKAY, READONLY

REFS = range(8, 1032)
#: entries of a maptrack page; a vCPU keeps one in its free list
HANDLES = 256


def map_all(machine, granter, mapper, flags: int) -> list[int]:
    """Map all references; return the statuses."""
    assert granter.grow(3) == OKAY
    for ref in REFS:
        granter.grant(ref, to=mapper.domid, page=ref % 64)
    requests = [(ref, flags, mapper.address(i)) for i, ref in enumerate(REFS)]
    statuses = [mapping.status for mapping in mapper.map_all(granter, requests)]
    assert machine.is_consistent()
    return statuses


@pytest.mark.parametrize("flags", [DEVICE | READONLY, HOST])
def test_mappings_at_machine_addresses_are_limited_by_the_maptrack_table(machine, flags):
    """Each takes memory of Xen: a node of a tree, and IOMMU page tables."""
    granter, mapper = machine.create_pair(iommu=True, maptrack_frames=1)
    statuses = map_all(machine, granter, mapper, flags)
    if machine.bus and machine.fast:
        assert set(statuses) == {OKAY}
    else:
        made = HANDLES - 1
        assert statuses == [OKAY] * made + [NO_SPACE] * (len(statuses) - made)


def test_fast_mappings_are_not_limited(machine):
    granter, mapper = machine.create_pair(maptrack_frames=1)
    statuses = map_all(machine, granter, mapper, HOST)
    assert (statuses[-1] == OKAY) == machine.fast


def test_own_references_are_not_limited_with_an_iommu(machine):
    """They have no IOMMU mappings."""
    own = machine.create(5, iommu=True, maptrack_frames=1)
    assert (map_all(machine, own, own, HOST)[-1] == OKAY) == machine.fast
