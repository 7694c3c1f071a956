"""TLB and IOTLB flushes of unmaps: their number, and that no reference drops before them.

In these tests the harness also crashes if a reference drops of a page that a TLB may still hold, or
the IOTLB of a domain whose devices use the p2m.
"""

import pytest

from tests.hypervisor.binding import BAD_HANDLE, DEVICE, HOST, OKAY, READONLY, REPLACE, UNANSWERED

#: unmaps that Xen completes at once
BATCH = 32
COUNTS = (1, 2, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH)
ACCESSED, DIRTY = 0x20, 0x40


def batches(requests: int) -> int:
    """Return the number of batches that the requests of one hypercall make."""
    return -(-requests // BATCH)


def map_pages(mapper, granter, count: int, flags: int = HOST):
    """Map ordinary references in turn, each mapping at an entry of its own."""
    targets = [(8 + n % 8, flags, mapper.address(n)) for n in range(count)]
    mappings = mapper.map_all(granter, targets)
    assert {mapping.status for mapping in mappings} == {OKAY}
    return mappings


def unmap(mapper, mappings) -> list[int]:
    """Unmap in one hypercall; return the statuses."""
    return mapper.unmap_all([(each.handle, each.host_addr, 0) for each in mappings])


# translated mappers


@pytest.mark.parametrize("count", COUNTS)
def test_a_translated_domain_locks_its_p2m_and_flushes_once_per_batch(machine, count):
    for version, granter, mapper in machine.create_pairs(translated=True):
        mappings = map_pages(mapper, granter, count)
        with machine.record_events() as log:
            assert set(unmap(mapper, mappings)) == {OKAY}
        expected = count if machine.is_stock else batches(count)
        assert len(log.subjects("flush TLB")) == expected, version
        assert len(log.subjects("lock &p2m->lock")) == expected
        assert mapper.state.flushes == (0 if machine.is_stock else expected)
        assert {granter.page_counts(page) for page in range(8, 16)} == {(1, 0)}
        assert machine.is_consistent()


@pytest.mark.parametrize("count", COUNTS)
def test_switched_off_a_translated_domain_flushes_each_page(machine, count):
    machine.batch_flush = False
    machine.reset()
    granter, mapper = machine.create_pair(translated=True)
    mappings = map_pages(mapper, granter, count)
    with machine.record_events() as log:
        assert set(unmap(mapper, mappings)) == {OKAY}
    assert len(log.subjects("flush TLB")) == count
    assert machine.is_consistent()


@pytest.mark.parametrize("contended", [0, 1, BATCH // 2, BATCH - 1])
def test_the_p2m_lock_is_dropped_before_waiting_for_an_entry(machine, contended):
    """Another CPU that holds the entry may be waiting for the p2m lock."""
    if machine.is_stock:
        pytest.skip("stock takes the p2m lock for each entry")
    granter, mapper = machine.create_pair(translated=True)
    mappings = map_pages(mapper, granter, BATCH)
    tries, held, waits = 0, False, []

    def fail_one_try(name, _):
        nonlocal tries, held
        if name in {"lock &p2m->lock", "unlock &p2m->lock"}:
            held = name == "lock &p2m->lock"
        if name.endswith(" &act->lock") and not name.startswith("un"):
            tries += 1
            if name.startswith("lock"):
                assert not held
                waits.append(tries)
            return tries == contended + 1
        return 0

    with machine.record_events(fail_one_try) as log:
        assert set(unmap(mapper, mappings)) == {OKAY}
    # The first entry is locked before the p2m; the contended one is locked again without it.
    assert waits[0] == 1
    if contended:
        assert waits[1] == contended + 2
    assert len(log.subjects("flush TLB")) == (2 if contended else 1)
    assert machine.is_consistent()


@pytest.mark.parametrize("place", [0, 5, BATCH - 1])
def test_the_p2m_lock_is_dropped_before_the_table_lock_is_taken(machine, place):
    """Reserved references take the table lock, whose holder may be waiting for the p2m lock."""
    granter, mapper = machine.create_pair(translated=True)
    mappings = map_pages(mapper, granter, BATCH - 1)
    mappings.insert(place, mapper.map(granter, 3, entry=BATCH))
    held = False

    def check_order(name, _):
        nonlocal held
        if name in {"lock &p2m->lock", "unlock &p2m->lock"}:
            held = name == "lock &p2m->lock"
        assert not (held and name.startswith(("read ", "write ")))

    with machine.record_events(check_order) as log:
        assert set(unmap(mapper, mappings)) == {OKAY}
    assert log.subjects("lock &p2m->lock")
    if not machine.is_stock:
        assert len(log.subjects("flush TLB")) == (2 if place else 1)
    assert machine.is_consistent()


def test_a_request_that_fails_leaves_the_rest_of_its_batch_alone(machine):
    for position in (0, 3, 7):
        machine.reset()
        granter, mapper = machine.create_pair(translated=True)
        mappings = map_pages(mapper, granter, 8)
        requests = [(each.handle, each.host_addr, 0) for each in mappings]
        handle, host_addr, _ = requests[position]
        requests[position] = (handle, host_addr + (16 << 12), 0)
        statuses = mapper.unmap_all(requests)
        assert [status == OKAY for status in statuses] == [n != position for n in range(8)]
        assert machine.is_consistent()
        assert mapper.unmap(mappings[position]) == OKAY
        assert machine.is_consistent()


@pytest.mark.parametrize("count", COUNTS)
def test_the_iotlb_is_flushed_once_per_batch(machine, count):
    granter, mapper = machine.create_pair(translated=True, iommu=True)
    mappings = map_pages(mapper, granter, count)
    with machine.record_events() as log:
        assert set(unmap(mapper, mappings)) == {OKAY}
    expected = count if machine.is_stock else batches(count)
    assert len(log.subjects("flush IOTLB")) == expected
    assert machine.is_consistent()


def test_pages_that_devices_may_still_reach_are_never_released(machine):
    granter, mapper = machine.create_pair(translated=True, iommu=True)
    mappings = map_pages(mapper, granter, 4)
    with machine.record_events(lambda name, _: name == "flush IOTLB"):
        unmap(mapper, mappings)
    for mapping in mappings:
        assert granter.page_counts(mapping.ref)[0] == 2
        assert granter.status(mapping.ref)
    # Others can still be unmapped.
    later = mapper.map(granter, 14, entry=20)
    assert mapper.unmap(later) == OKAY
    assert granter.page_counts(14) == (1, 0)


@pytest.mark.parametrize("translated", [False, True])
def test_a_page_is_marked_dirty_after_the_flush(machine, translated):
    """Until then a CPU may write to it, which a migration would miss."""
    if machine.is_stock:
        pytest.skip("stock marks pages in the first pass")
    granter, mapper = machine.create_pair(translated=translated)
    mappings = map_pages(mapper, granter, 3)
    with machine.record_events() as log:
        assert set(unmap(mapper, mappings)) == {OKAY}
    for page in (8, 9, 10):
        dirty = log.first_index("mark dirty", granter.frame(page))
        assert (
            log.first_index("flush TLB") < dirty < log.first_index("put page", granter.frame(page))
        )


# pages that no CPU has accessed


def create_dom0(machine, *, skip: bool = True):
    """Create a granter with references 0 to 15, and dom0, with or without gnttab=skip-flush."""
    if machine.is_stock and skip:
        pytest.skip("stock always flushes")
    machine.skip_flush = skip
    machine.reset()
    granter, dom0 = machine.create(2), machine.create(0)
    for ref in range(16):
        granter.grant(ref, to=0, page=ref)
    return granter, dom0


def counted(domain) -> tuple[int, int]:
    return domain.state.flushes, domain.state.skipped_flushes


@pytest.mark.parametrize("flags", [HOST, HOST | READONLY, HOST | DEVICE])
@pytest.mark.parametrize("count", COUNTS)
def test_pages_that_no_cpu_has_accessed_are_not_flushed(machine, count, flags):
    granter, dom0 = create_dom0(machine)
    mappings = map_pages(dom0, granter, count, flags)
    assert not any(dom0.host_entry(n) & (ACCESSED | DIRTY) for n in range(count))
    with machine.record_events() as log:
        requests = [(m.handle, m.host_addr, m.bus if flags & DEVICE else 0) for m in mappings]
        assert set(dom0.unmap_all(requests)) == {OKAY}
    assert not log.subjects("flush TLB")
    assert counted(dom0) == (0, batches(count))
    assert not any(dom0.host_entry(n) for n in range(count))
    assert machine.is_consistent()


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("accessed", [0, 1, BATCH - 1, BATCH, 2 * BATCH - 1])
def test_one_accessed_page_causes_one_flush_of_its_batch(machine, accessed, write):
    granter, dom0 = create_dom0(machine)
    mappings = map_pages(dom0, granter, 2 * BATCH)
    assert dom0.access(accessed, write=write)
    with machine.record_events() as log:
        assert set(unmap(dom0, mappings)) == {OKAY}
    assert len(log.subjects("flush TLB")) == 1
    assert counted(dom0) == (1, 1)
    flushed, page = log.first_index("flush TLB"), granter.frame(8 + accessed % 8)
    cleared = [i for i, (name, _) in enumerate(log.events) if name.endswith(" PTE")][accessed]
    puts = [i for i, event in enumerate(log.events) if event == ("put page", page) and i > cleared]
    assert puts
    assert min(puts) > flushed
    # Nothing is left in the entries, not even an accessed flag.
    assert not any(dom0.host_entry(n) for n in range(2 * BATCH))
    assert machine.is_consistent()


def test_a_page_accessed_just_before_its_entry_is_cleared_is_flushed(machine):
    """Only the exchanged entry tells: a CPU may set the flag after any earlier look at it."""
    granter, dom0 = create_dom0(machine)
    mappings = map_pages(dom0, granter, 3)
    entries = iter(range(3))

    def access(name, _):
        if name in {"exchange PTE", "update PTE"}:
            dom0.on(1, 1).access(next(entries))

    with machine.record_events(access) as log:
        assert set(unmap(dom0, mappings)) == {OKAY}
    assert len(log.subjects("flush TLB")) == 1
    assert machine.is_consistent()


def test_a_request_that_fails_causes_a_flush(machine):
    granter, dom0 = create_dom0(machine)
    for position in range(4):
        mappings = map_pages(dom0, granter, 3)
        requests = [(each.handle, each.host_addr, 0) for each in mappings]
        requests.insert(position, (0xFFFFFFFF, 0, 0))
        with machine.record_events() as log:
            statuses = dom0.unmap_all(requests)
        assert statuses.count(OKAY) == 3
        assert statuses[position] == BAD_HANDLE
        assert len(log.subjects("flush TLB")) == 1


def test_a_replaced_mapping_is_flushed(machine):
    granter, dom0 = create_dom0(machine)
    mapping, other = map_pages(dom0, granter, 2)
    request = machine.ffi.new("struct gnttab_unmap_and_replace *")
    request.host_addr, request.new_addr = mapping.host_addr, other.host_addr
    request.handle, request.status = mapping.handle, UNANSWERED
    dom0.access(0, write=True)
    with machine.record_events() as log:
        dom0.operate(REPLACE, request)
    assert request.status == OKAY
    assert log.first_index("flush TLB") < log.first_index("put page", granter.frame(8))
    # TLBs may hold the translation at its old address; a dirty flag is not taken over.
    assert dom0.host_entry(0) & (ACCESSED | DIRTY) == ACCESSED
    assert dom0.host_entry(1) == 0

    # An entry that is not present moves as it is.
    request.new_addr, request.handle, request.status = dom0.address(9), other.handle, UNANSWERED
    dom0.operate(REPLACE, request)
    assert request.status == OKAY
    assert dom0.host_entry(0) == 0


def test_other_domains_are_always_flushed(machine):
    """A PV guest can clear accessed flags in its page tables."""
    machine.skip_flush = True
    machine.reset()
    granter, mapper = machine.create_pair()
    mappings = map_pages(mapper, granter, 3)
    assert mapper.host_entry(0) & (ACCESSED | DIRTY) == ACCESSED | DIRTY
    with machine.record_events() as log:
        assert set(unmap(mapper, mappings)) == {OKAY}
    assert len(log.subjects("flush TLB")) == 1


def test_switched_off_dom0_is_flushed_and_its_flags_are_set(machine):
    granter, dom0 = create_dom0(machine, skip=False)
    mappings = map_pages(dom0, granter, 3)
    assert dom0.host_entry(0) & (ACCESSED | DIRTY) == ACCESSED | DIRTY
    with machine.record_events() as log:
        assert set(unmap(dom0, mappings)) == {OKAY}
    assert len(log.subjects("flush TLB")) == 1
    assert machine.is_consistent()
