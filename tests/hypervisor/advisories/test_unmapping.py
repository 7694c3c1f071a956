"""What an unmap request may do, and what it must not."""

import itertools

from tests.hypervisor.binding import (
    BAD_BUS,
    BAD_HANDLE,
    BOTH,
    CONTAINS_PTE,
    DEVICE,
    GENERAL,
    HOST,
    OKAY,
    PINS,
    READING,
    READONLY,
    WRITING,
)


def test_xsa_224_without_a_bus_address_the_device_map_stays(machine):
    granter, mapper = machine.create_pair()
    mapping = mapper.map(granter, 9, BOTH)
    assert granter.page_counts(9) == (3, 2)

    assert mapper.unmap(mapping, bus=0) == OKAY
    assert (granter.entry(9).pin, granter.page_counts(9)) == (PINS[DEVICE], (2, 1))
    assert mapper.unmap(mapping, host_addr=0) == OKAY
    assert (granter.entry(9).pin, granter.page_counts(9)) == (0, (1, 0))
    assert mapper.unmap(mapping) == BAD_HANDLE
    assert machine.is_consistent()


def test_xsa_224_no_host_map_that_was_not_asked_for(machine):
    granter, mapper = machine.create_pair()
    mapping = mapper.map(granter, 9, DEVICE, host_addr=mapper.address(0))
    assert (mapping.status, mapper.host_entry(0)) == (OKAY, 0)
    assert (granter.entry(9).pin, granter.page_counts(9)) == (PINS[DEVICE], (2, 1))

    # Nor is one removed that is another's.
    other = mapper.map(granter, 10)
    assert mapper.unmap(mapping, host_addr=other.host_addr) == OKAY
    assert mapper.host_entry(0)
    assert (granter.entry(10).pin, granter.page_counts(10)) == (PINS[HOST], (2, 1))
    assert machine.is_consistent()


def test_xsa_224_references_are_exact(machine):
    granter, mapper = machine.create_pair()
    for flags in (*PINS, BOTH, BOTH | READONLY):
        parts = [part for part in (DEVICE, HOST) if flags & part]
        mapping = mapper.map(granter, 9, flags)
        assert granter.page_counts(9) == (1 + len(parts), 0 if flags & READONLY else len(parts))
        assert granter.entry(9).pin == sum(PINS[part | flags & READONLY] for part in parts)
        assert mapper.unmap(mapping) == OKAY
        assert granter.page_counts(9) == (1, 0)
    assert machine.is_consistent()


def test_xsa_224_all_or_nothing(machine):
    granter, mapper = machine.create_pair()
    mapping = mapper.map(granter, 9, BOTH)
    before = granter.entry(9).pin, granter.page_counts(9), mapper.host_entry(0), granter.status(9)
    for refused in (
        {"bus": mapping.bus + 4096},
        {"host_addr": mapper.address(1)},
        {"host_addr": mapper.address(1), "bus": 0},
    ):
        assert mapper.unmap(mapping, **refused) in {BAD_BUS, GENERAL}
        assert (granter.entry(9).pin, granter.page_counts(9), mapper.host_entry(0), granter.status(9)) == before
    assert mapper.unmap(mapping) == OKAY
    assert machine.is_consistent()


def test_xsa_222_a_p2m_entry_that_stays_stays_mapped(machine):
    granter, mapper = machine.create_pair(translated=True)
    mapping = mapper.map(granter, 9)
    before = granter.entry(9).pin, granter.page_counts(9), mapper.host_entry(0)
    with machine.record_events(lambda what, _: what == "remove from p2m"):
        assert mapper.unmap(mapping) == GENERAL
    assert (granter.entry(9).pin, granter.page_counts(9), mapper.host_entry(0)) == before
    assert mapper.unmap(mapping) == OKAY
    assert (granter.page_counts(9), mapper.host_entry(0)) == ((1, 0), 0)
    assert machine.is_consistent()


def test_xsa_227_a_pte_is_aligned(machine):
    granter, mapper = machine.create_pair()
    address = mapper.address(1, CONTAINS_PTE)
    for wrong in range(1, 8):
        mapping = mapper.map(granter, 9, HOST | CONTAINS_PTE, host_addr=address + wrong)
        assert mapping.status == GENERAL
        assert [mapper.host_entry(entry) for entry in range(3)] == [0, 0, 0]
    mapping = mapper.map(granter, 9, HOST | CONTAINS_PTE, host_addr=address)
    for wrong in range(1, 8):
        assert mapper.unmap(mapping, host_addr=address + wrong) == GENERAL
        assert mapper.host_entry(1)
    assert mapper.unmap(mapping) == OKAY
    assert machine.is_consistent()


def test_xsa_234_what_is_removed_is_of_the_frame(machine):
    granter, mapper = machine.create_pair()
    mappings = [mapper.map(granter, ref, entry=ref) for ref in (9, 10)]
    assert mapper.unmap(mappings[0], host_addr=mappings[1].host_addr) == GENERAL
    assert mapper.host_entry(9)
    assert mapper.host_entry(10)
    assert [mapper.unmap(mapping) for mapping in mappings] == [OKAY, OKAY]
    assert machine.is_consistent()


def test_xsa_234_what_is_removed_permits_what_was_mapped(machine):
    granter, mapper = machine.create_pair()
    granter.grant(10, to=mapper.domid, page=9)
    for flags in (HOST, HOST | READONLY):
        mapping = mapper.map(granter, 9, flags, entry=0)
        other = mapper.map(granter, 10, flags ^ READONLY, entry=1)
        # A writable entry that stays, with its page's writable type gone, would be the guest's.
        assert mapper.unmap(mapping, host_addr=other.host_addr) == GENERAL
        assert mapper.host_entry(0)
        assert mapper.host_entry(1)
        assert [mapper.unmap(other), mapper.unmap(mapping)] == [OKAY, OKAY]
    assert machine.is_consistent()


def in_use(*kinds: int) -> int:
    """Return what the status has to be with mappings of these kinds."""
    reading = READING if kinds else 0
    return reading | (0 if all(kind & READONLY for kind in kinds) else WRITING)


def test_xsa_230_the_status_is_that_of_all_pins(machine):
    for version, one, other, ref in itertools.product((1, 2), PINS, PINS, (3, 9)):
        machine.reset()
        granter, mapper = machine.create_pair(version=version)
        mappings = [
            mapper.map(granter, ref, kind, entry=entry) for entry, kind in enumerate((one, other))
        ]
        assert granter.status(ref) == in_use(one, other)
        assert mapper.unmap(mappings[0]) == OKAY
        assert granter.status(ref) == in_use(other)
        assert mapper.unmap(mappings[1]) == OKAY
        assert granter.status(ref) == in_use()
        assert machine.is_consistent()


def test_xsa_394_devices_have_it_until_it_is_wholly_unmapped(machine):
    granter, mapper = machine.create_pair(iommu=True)
    for partly in ({"bus": 0}, {"host_addr": 0}):
        mapping = mapper.map(granter, 9, BOTH)
        assert (mapper.iommu_permissions(granter, 9), mapper.state.iommu_mappings) == (3, 1)
        assert mapper.unmap(mapping, **partly) == OKAY
        assert (mapper.iommu_permissions(granter, 9), mapper.state.iommu_mappings) == (3, 1)
        assert mapper.unmap(mapping) == OKAY
        assert (mapper.iommu_permissions(granter, 9), mapper.state.iommu_mappings) == (0, 0)
    assert machine.is_consistent()
