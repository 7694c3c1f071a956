"""Permitted and forbidden effects of unmap requests."""

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


def test_xsa_224_unmapping_without_bus_address_keeps_the_device_mapping(machine):
    granter, mapper = machine.create_pair()
    mapping = mapper.map(granter, 9, BOTH)
    assert granter.page_counts(9) == (3, 2)

    assert mapper.unmap(mapping, bus=0) == OKAY
    assert (granter.entry(9).pin, granter.page_counts(9)) == (PINS[DEVICE], (2, 1))
    assert mapper.unmap(mapping, host_addr=0) == OKAY
    assert (granter.entry(9).pin, granter.page_counts(9)) == (0, (1, 0))
    assert mapper.unmap(mapping) == BAD_HANDLE
    assert machine.is_consistent()


def test_xsa_224_a_device_mapping_creates_no_host_mapping(machine):
    granter, mapper = machine.create_pair()
    mapping = mapper.map(granter, 9, DEVICE, host_addr=mapper.address(0))
    assert (mapping.status, mapper.host_entry(0)) == (OKAY, 0)
    assert (granter.entry(9).pin, granter.page_counts(9)) == (PINS[DEVICE], (2, 1))

    # Nor does unmapping it remove another host mapping.
    other = mapper.map(granter, 10)
    assert mapper.unmap(mapping, host_addr=other.host_addr) == OKAY
    assert mapper.host_entry(0)
    assert (granter.entry(10).pin, granter.page_counts(10)) == (PINS[HOST], (2, 1))
    assert machine.is_consistent()


def test_xsa_224_page_references_match_the_mapping(machine):
    granter, mapper = machine.create_pair()
    for flags in (*PINS, BOTH, BOTH | READONLY):
        parts = [part for part in (DEVICE, HOST) if flags & part]
        mapping = mapper.map(granter, 9, flags)
        assert granter.page_counts(9) == (1 + len(parts), 0 if flags & READONLY else len(parts))
        assert granter.entry(9).pin == sum(PINS[part | flags & READONLY] for part in parts)
        assert mapper.unmap(mapping) == OKAY
        assert granter.page_counts(9) == (1, 0)
    assert machine.is_consistent()


def test_xsa_224_a_refused_unmap_changes_nothing(machine):
    granter, mapper = machine.create_pair()
    mapping = mapper.map(granter, 9, BOTH)

    def state():
        entry, page = granter.entry(9).pin, granter.page_counts(9)
        return entry, page, mapper.host_entry(0), granter.status(9)

    before = state()
    for refused in (
        {"bus": mapping.bus + 4096},
        {"host_addr": mapper.address(1)},
        {"host_addr": mapper.address(1), "bus": 0},
    ):
        assert mapper.unmap(mapping, **refused) in {BAD_BUS, GENERAL}
        assert (
            granter.entry(9).pin,
            granter.page_counts(9),
            mapper.host_entry(0),
            granter.status(9),
        ) == before
    assert mapper.unmap(mapping) == OKAY
    assert machine.is_consistent()


def test_xsa_222_a_failed_p2m_removal_keeps_the_mapping(machine):
    granter, mapper = machine.create_pair(translated=True)
    mapping = mapper.map(granter, 9)
    before = granter.entry(9).pin, granter.page_counts(9), mapper.host_entry(0)
    with machine.record_events(lambda name, _: name == "remove from p2m"):
        assert mapper.unmap(mapping) == GENERAL
    assert (granter.entry(9).pin, granter.page_counts(9), mapper.host_entry(0)) == before
    assert mapper.unmap(mapping) == OKAY
    assert (granter.page_counts(9), mapper.host_entry(0)) == ((1, 0), 0)
    assert machine.is_consistent()


def test_xsa_227_pte_addresses_must_be_aligned(machine):
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


def test_xsa_234_the_removed_pte_must_map_the_frame(machine):
    granter, mapper = machine.create_pair()
    mappings = [mapper.map(granter, ref, entry=ref) for ref in (9, 10)]
    assert mapper.unmap(mappings[0], host_addr=mappings[1].host_addr) == GENERAL
    assert mapper.host_entry(9)
    assert mapper.host_entry(10)
    assert [mapper.unmap(mapping) for mapping in mappings] == [OKAY, OKAY]
    assert machine.is_consistent()


def test_xsa_234_the_removed_pte_must_have_the_permissions(machine):
    granter, mapper = machine.create_pair()
    granter.grant(10, to=mapper.domid, page=9)
    for flags in (HOST, HOST | READONLY):
        mapping = mapper.map(granter, 9, flags, entry=0)
        other = mapper.map(granter, 10, flags ^ READONLY, entry=1)
        # Otherwise a writable entry could outlive the page's writable type.
        assert mapper.unmap(mapping, host_addr=other.host_addr) == GENERAL
        assert mapper.host_entry(0)
        assert mapper.host_entry(1)
        assert [mapper.unmap(other), mapper.unmap(mapping)] == [OKAY, OKAY]
    assert machine.is_consistent()


def expected_status(*kinds: int) -> int:
    """Return the expected status with mappings of these kinds."""
    reading = READING if kinds else 0
    return reading | (0 if all(kind & READONLY for kind in kinds) else WRITING)


def test_xsa_230_the_status_reflects_all_pins(machine):
    for version, one, other, ref in itertools.product((1, 2), PINS, PINS, (3, 9)):
        machine.reset()
        granter, mapper = machine.create_pair(version=version)
        mappings = [
            mapper.map(granter, ref, kind, entry=entry) for entry, kind in enumerate((one, other))
        ]
        assert granter.status(ref) == expected_status(one, other)
        assert mapper.unmap(mappings[0]) == OKAY
        assert granter.status(ref) == expected_status(other)
        assert mapper.unmap(mappings[1]) == OKAY
        assert granter.status(ref) == expected_status()
        assert machine.is_consistent()


def test_xsa_394_the_iommu_mapping_stays_until_fully_unmapped(machine):
    granter, mapper = machine.create_pair(iommu=True)
    for partly in ({"bus": 0}, {"host_addr": 0}):
        mapping = mapper.map(granter, 9, BOTH)
        assert (mapper.iommu_permissions(granter, 9), mapper.state.iommu_mappings) == (3, 1)
        assert mapper.unmap(mapping, **partly) == OKAY
        assert (mapper.iommu_permissions(granter, 9), mapper.state.iommu_mappings) == (3, 1)
        assert mapper.unmap(mapping) == OKAY
        assert (mapper.iommu_permissions(granter, 9), mapper.state.iommu_mappings) == (0, 0)
    assert machine.is_consistent()


def test_only_an_unmap_of_a_writable_mapping_marks_its_page_dirty(machine):
    """A request without addresses unmaps nothing, and could mean either of two mappings."""
    granter, mapper = machine.create_pair()
    flags = HOST, HOST | READONLY
    mappings = [mapper.map(granter, 9, flag, entry=entry) for entry, flag in enumerate(flags)]
    requests = [[(mappings[1].handle, 0, 0)], *([(m.handle, m.host_addr, 0)] for m in mappings)]
    marked = []
    for request in requests:
        with machine.record_events() as log:
            assert mapper.unmap_all(request) == [OKAY]
        marked.append(log.subjects("mark dirty"))
    assert marked == [[], [granter.frame(9)], []]
