"""Order of operations inside Xen, checked by its events."""

import itertools

from tests.hypervisor.binding import (
    BAD_HANDLE,
    DEVICE,
    HOST,
    OKAY,
    PINS,
    READING,
    READONLY,
    WRITING,
)


def test_xsa_218_pins_and_status_change_together(machine):
    for _, granter, mapper in machine.create_pairs():

        def check_status(name, _, granter=granter):
            if name != "unlock &act->lock":
                return
            for ref in (3, 9):
                pin = granter.entry(ref).pin
                writable = pin & (0xFF * PINS[HOST] | 0xFF * PINS[DEVICE])
                expected = (READING if pin else 0) | (WRITING if writable else 0)
                assert granter.status(ref) == expected

        with machine.record_events(check_status) as log:
            for ref, order in itertools.product((3, 9), (1, -1)):
                mappings = [mapper.map(granter, ref, flags, entry=flags) for flags in PINS]
                statuses = [mapper.unmap(mapping) for mapping in mappings[::order]]
                assert statuses == [OKAY] * len(PINS)
        assert log.subjects("unlock &act->lock")
        assert machine.is_consistent()


def test_xsa_218_references_drop_after_the_flush(machine):
    granter, mapper = machine.create_pair()
    for flags in (HOST, HOST | READONLY):
        mappings = [mapper.map(granter, ref, flags, entry=ref) for ref in (3, 9, 10)]
        with machine.record_events() as log:
            mapper.unmap_all([(m.handle, m.host_addr, m.bus) for m in mappings])
        flushed = log.first_index("flush TLB")
        for ref in (3, 9, 10):
            assert flushed < log.first_index("put page", granter.frame(ref))
            assert granter.page_counts(ref) == (1, 0)
    assert machine.is_consistent()


def check_references(granter, ref, flags):
    """Return an event handler that checks the status of a mapping when its references drop."""
    status = READING if flags & READONLY else READING | WRITING

    def check(name, frame):
        if name.startswith("put page") and frame == granter.frame(ref):
            assert granter.status(ref) == status

    return check


def test_xsa_218_the_status_is_cleared_after_references_drop(machine):
    """The granter may reuse a page as soon as its status is clear."""
    for _, granter, mapper in machine.create_pairs(iommu=True):
        for ref in (3, 9):
            for flags in (*PINS, HOST | DEVICE, HOST | DEVICE | READONLY):
                mapping = mapper.map(granter, ref, flags)
                with machine.record_events(check_references(granter, ref, flags)) as log:
                    assert mapper.unmap(mapping) == OKAY
                assert log.subjects("put page")
                assert (granter.status(ref), granter.page_counts(ref)) == (0, (1, 0))


def test_xsa_218_a_dying_mapper_drops_references_before_the_status(machine):
    for flags in (DEVICE, DEVICE | READONLY):
        for ref in (3, 9):
            for _, granter, mapper in machine.create_pairs(iommu=True):
                mapper.map(granter, ref, flags)
                with machine.record_events(check_references(granter, ref, flags)) as log:
                    list(mapper.destroy())
                assert log.subjects("put page")
                assert (granter.status(ref), granter.page_counts(ref)) == (0, (1, 0))


def test_xsa_218_a_device_mapping_waits_for_no_flush_but_that_of_its_iommu(machine):
    """TLBs hold host mappings only, so that a batch flushes them for these."""
    granter, mapper = machine.create_pair()
    devices = [mapper.map(granter, ref, DEVICE | kind) for ref in (3, 9) for kind in (0, READONLY)]
    both = [mapper.map(granter, ref, DEVICE | HOST, entry=ref) for ref in (9, 10)]
    mapper.unmap_all([(m.handle, 0, m.bus) for m in devices])
    assert [granter.page_counts(ref) for ref in (3, 9, 10)] == [(1, 0), (3, 2), (3, 2)]
    # The device's part of a mapping leaves the host's references.
    mapper.unmap_all([(m.handle, 0, m.bus) for m in both])
    assert [granter.page_counts(ref) for ref in (9, 10)] == [(2, 1), (2, 1)]
    with machine.record_events() as log:
        mapper.unmap_all([(m.handle, m.host_addr, 0) for m in both])
    for ref in (9, 10):
        assert log.first_index("flush TLB") < log.first_index("put page", granter.frame(ref))
        assert (granter.page_counts(ref), granter.status(ref)) == ((1, 0), 0)

    # In one batch
    device, host = mapper.map(granter, 9, DEVICE), mapper.map(granter, 10, HOST)
    with machine.record_events() as log:
        requests = [(m.handle, m.host_addr if m is host else 0, m.bus) for m in (device, host)]
        assert mapper.unmap_all(requests) == [OKAY, OKAY]
    assert log.first_index("flush TLB") < log.first_index("put page", granter.frame(10))
    assert machine.is_consistent()


def test_xsa_218_a_handle_is_freed_once(machine):
    granter, mapper = machine.create_pair()
    for ref in (3, 9):
        for flags in PINS:
            mapping = mapper.map(granter, ref, flags)
            other = mapper.map(granter, ref + 1, entry=1)
            request = (mapping.handle, mapping.host_addr, mapping.bus)
            assert mapper.unmap_all([request] * 3) == [OKAY, BAD_HANDLE, BAD_HANDLE]
            assert granter.page_counts(ref) == (1, 0)
            again = [mapper.map(granter, ref, flags, entry=entry) for entry in (2, 3, 4)]
            handles = {(m.handle, m.ref) for m in (*again, other) if not m.handle >> 31}
            assert len({handle for handle, _ in handles}) == len(handles)
            assert [mapper.unmap(m) for m in (*again, other)] == [OKAY] * 4
    assert machine.is_consistent()


def test_xsa_218_a_maptrack_frame_is_stored_before_the_limit_is_raised(machine):
    granter, mapper = machine.create_pair()
    limits = []

    def record_limit(name, _):
        if name == "write barrier":
            limits.append(mapper.state.maptrack_frames)

    # Mappings of reserved references are always in the maptrack table.
    with machine.record_events(record_limit) as log:
        assert mapper.map(granter, 3, HOST | READONLY).status == OKAY
    assert log.subjects("lock &lgt->maptrack_lock")
    assert limits[0] == 0
    assert mapper.state.maptrack_frames == 1


def test_xsa_346_iommu_mappings_are_removed_before_page_references(machine):
    granter, mapper = machine.create_pair(iommu=True)
    for ref in (3, 9):
        frame = granter.frame(ref)
        for flags in (*PINS, HOST | DEVICE):
            mapping = mapper.map(granter, ref, flags)
            with machine.record_events() as log:
                assert mapper.unmap(mapping) == OKAY
            assert log.first_index("IOMMU unmap", frame) < log.first_index("put page", frame)
            if machine.bus:
                assert log.first_index("flush IOTLB") < log.first_index("put page", frame)

        # Write access ends before the writable type is dropped.
        remaining = mapper.map(granter, ref, HOST | READONLY, entry=1)
        mapping = mapper.map(granter, ref, HOST, entry=2)
        with machine.record_events() as log:
            assert mapper.unmap(mapping) == OKAY
        # With bus addresses the writable one is removed; otherwise the mapping is made read-only.
        changed = ("flush IOTLB",) if machine.bus else ("IOMMU map", frame)
        assert log.first_index(*changed) < log.first_index("put page", frame)
        assert mapper.iommu_permissions(granter, ref) == 1
        assert mapper.unmap(remaining) == OKAY
    assert machine.is_consistent()
