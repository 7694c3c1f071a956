"""Bus addresses of mappings, which no advisory is about."""

import itertools

import pytest

from tests.hypervisor.binding import BAD_BUS, DEVICE, HOST, OKAY, PAGE, PERMIT, READONLY, Machine
from tests.hypervisor.userspace import compile_hypervisor, link

#: number of unmap requests that Xen completes at once
BATCH = 32


@pytest.fixture
def machine(machine) -> Machine:
    if not machine.bus:
        pytest.skip("mappings have machine addresses")
    return machine


def unmap_requests(mappings) -> list[tuple[int, int, int]]:
    return [(m.handle, m.host_addr if m.flags & HOST else 0, m.bus) for m in mappings]


def test_each_mapping_has_its_own_bus_address(machine):
    granter, mapper = machine.create_pair(iommu=True)
    flags = (HOST, HOST | READONLY, DEVICE, DEVICE | READONLY, HOST | DEVICE)
    requests = [(ref, f) for ref in (3, 9) for f in flags]
    mappings = [
        mapper.map(granter, *request, entry=entry) for entry, request in enumerate(requests)
    ]
    assert {mapping.status for mapping in mappings} == {OKAY}
    assert len({mapping.bus for mapping in mappings}) == len(mappings)
    # Bus addresses are above all machine addresses.
    assert min(mapping.bus for mapping in mappings) > max(map(granter.frame, range(16))) * PAGE
    assert machine.is_consistent()
    assert mapper.unmap_all(unmap_requests(mappings)) == [OKAY] * len(mappings)
    assert machine.is_consistent()


def test_own_references_have_the_machine_address(machine):
    own = machine.create(5, iommu=True)
    own.grant(9, to=own.domid, page=1, flags=PERMIT)
    mapping = own.map(own, 9, DEVICE)
    assert mapping.bus == own.frame(1) * PAGE
    assert own.unmap(mapping, bus=mapping.bus + PAGE) == BAD_BUS
    assert own.unmap(mapping) == OKAY
    mapping = own.map(own, 9, HOST)
    assert own.unmap(mapping, bus=1) == OKAY  # ignored, as this is no device mapping
    assert machine.is_consistent()


def test_the_bus_address_selects_the_mapping(machine):
    granter, mapper = machine.create_pair(iommu=True)
    for ref in (3, 9):
        one, other = (mapper.map(granter, ref, HOST, entry=entry) for entry in (1, 2))

        def state(ref=ref):
            return (
                *(granter.entry(ref).pin, granter.page_counts(ref)),
                *(mapper.host_entry(1), mapper.host_entry(2)),
            )

        before = state()
        for wrong in (one.bus + PAGE, one.bus + 1, granter.frame(ref) * PAGE, 1, (1 << 64) - 1):
            assert mapper.unmap(one, bus=wrong) == BAD_BUS
        assert state() == before
        assert machine.is_consistent()
        assert mapper.unmap(other, bus=other.bus) == OKAY
        assert (mapper.host_entry(1) != 0, mapper.host_entry(2)) == (True, 0)
        assert mapper.unmap(one, bus=one.bus) == OKAY
        one, other = (mapper.map(granter, ref, DEVICE) for _ in range(2))
        assert mapper.unmap(other) == OKAY
        assert mapper.unmap(one) == OKAY
        assert machine.is_consistent()


def test_a_bus_address_can_be_unmapped_once(machine):
    """A second unmap in the same batch fails, though another mapping has the same handle."""
    granter, mapper = machine.create_pair(iommu=True)
    mapper.map(granter, 9, DEVICE)
    mapping = mapper.map(granter, 9, DEVICE)
    first, second = mapper.unmap_all(unmap_requests([mapping]) * 2)
    assert first == OKAY
    assert second != OKAY
    assert machine.is_consistent()


def test_a_batch_is_flushed_once(machine):
    granter, mapper = machine.create_pair(iommu=True)
    for ref in range(8, 8 + BATCH + 1):
        granter.grant(ref, to=mapper.domid, page=ref % 16)
    for count, flushes in ((1, 1), (BATCH, 1), (BATCH + 1, 2)):
        mappings = [mapper.map(granter, 8 + i, DEVICE) for i in range(count)]
        with machine.record_events() as log:
            assert mapper.unmap_all(unmap_requests(mappings)) == [OKAY] * count
        assert len(log.subjects("flush IOTLB")) == flushes
        # Freed handles are used again in turn, so those in use may be anywhere in a maptrack page.
        assert max(log.subjects("flushed bus frames")) <= (2 * BATCH if machine.fast else 256)
        assert machine.is_consistent()


def test_a_flush_is_of_one_page_table_at_most(machine):
    """IOMMUs forget everything about the domain if the range is too large."""
    granter, mapper = machine.create_pair(iommu=True)
    other = machine.create(3)
    for domain in (granter, other):
        assert domain.grow(4) == OKAY
        for ref in range(8, 2000, 100):
            domain.grant(ref, to=mapper.domid, page=ref % 16)
    refs = range(8, 2000, 100)
    for granters, mapped, tables in (
        # next to each other, twice (in both slots), of two domains, and far apart
        ((granter,), [8, 108, 208], 1),
        ((granter,), [8, 8, 108, 108], 2),
        ((granter, other), [8, 108], 2),
        ((granter, other), refs[:16], 6),
    ):
        mappings = [mapper.map(domain, ref, DEVICE) for ref in mapped for domain in granters]
        with machine.record_events() as log:
            statuses = mapper.unmap_all(unmap_requests(mappings))
        assert statuses == [OKAY] * len(mappings)
        assert max(log.subjects("flushed bus frames")) <= 512
        # In the maptrack table, handles are next to each other.
        assert len(log.subjects("flush IOTLB")) == (tables if machine.fast else 1)
        assert machine.is_consistent()


def test_no_table_lock_is_taken(machine):
    granter, mapper = machine.create_pair(iommu=True)
    mapper.unmap(mapper.map(granter, 9, DEVICE))  # one-time allocations
    with machine.record_events() as log:
        assert mapper.unmap(mapper.map(granter, 9, DEVICE)) == OKAY
    locks = {name for name, _ in log.events if name.startswith(("lock ", "read ", "write &"))}
    assert "write &gt->lock" not in locks
    if machine.fast:
        assert locks == {"lock &act->lock"}


def test_nothing_is_released_if_the_flush_fails(machine):
    """No driver of Xen's reports a failure."""
    for flags in (HOST, DEVICE, HOST | READONLY, DEVICE | READONLY):
        machine.reset()
        granter, mapper = machine.create_pair(iommu=True)
        mapping = mapper.map(granter, 9, flags)
        before = granter.page_counts(9)
        with machine.record_events(lambda name, _: name == "flush IOTLB"):
            assert mapper.unmap(mapping) == OKAY
        # The PTE is removed, but its reference is kept as well.
        assert granter.page_counts(9) == before
        # The bus address is not reused.
        again = mapper.map(granter, 9, flags, entry=4)
        assert (again.status, again.bus != mapping.bus) == (OKAY, True)
        assert mapper.unmap(again) == OKAY
        if machine.fast:
            list(mapper.destroy())
            # The PTE's reference is leaked, so the page is lost but never given to another owner.
            assert granter.page_counts(9)[0] == (2 if flags & HOST else 1)


@pytest.mark.parametrize(
    ("cpu", "iommu", "passthrough", "first"),
    [
        # QEMU's default, QEMU with 48 bits, a server, and AMD.
        *((40, 39, False, None), (40, 48, False, 1 << 40)),
        *((46, 48, False, 1 << 46), (48, 64, False, 1 << 48)),
        # CPU and IOMMU of equal width; a region from 1 TiB, AMD's reserved range; and too few bits.
        *((48, 48, False, None), (39, 45, False, 1 << 40), (39, 44, False, None)),
        # No IOMMU, or not for all devices, or not for those of dom0.
        *((46, 0, False, None), (46, 48, True, None)),
    ],
)
def test_the_bus_region_depends_on_cpus_and_iommus(
    cpu, iommu, passthrough, first, patched_sources, tmp_path
):
    """The region is above the CPUs' address width, or there is none."""
    flags = ("-O1", f"-DCPU_BITS={cpu}", f"-DIOMMU_BITS={iommu}")
    flags += (f"-DDOM0_PASSTHROUGH={str(passthrough).lower()}",)
    part = compile_hypervisor("patched", patched_sources, tmp_path, flags)
    library = link(tmp_path / "libpatched.so", [part], patched_sources, flags, shared=True)
    machine = Machine(library, "patched")
    machine.bus = True
    machine.reset()
    granter, mapper = machine.create_pair(iommu=True)
    fast, slow = mapper.map(granter, 9, DEVICE), mapper.map(granter, 3, DEVICE)
    if first is None:
        assert (fast.bus, slow.bus) == (granter.frame(9) * PAGE, granter.frame(3) * PAGE)
    else:
        assert (fast.bus, slow.bus) == (first + fast.handle * PAGE, first + slow.handle * PAGE)
        assert fast.bus + (PAGE << 31) < 1 << iommu
    assert [mapper.unmap(mapping) for mapping in (fast, slow)] == [OKAY] * 2
    assert machine.is_consistent()


def test_a_page_is_marked_dirty_after_its_bus_address_was_flushed(machine):
    """Until then, a device can write to it."""
    granter, mapper = machine.create_pair(iommu=True)
    kinds = (HOST, DEVICE, HOST | DEVICE, HOST | READONLY, DEVICE | READONLY)
    for ref, flags in itertools.product((3, 9), kinds):
        mapping = mapper.map(granter, ref, flags)
        with machine.record_events() as log:
            assert mapper.unmap(mapping) == OKAY
        if flags & READONLY:
            assert log.subjects("mark dirty") == []
        else:
            assert log.subjects("mark dirty") == [granter.frame(ref)]
            assert log.first_index("flush IOTLB") < log.first_index("mark dirty")


def test_a_bus_address_keeps_the_page_after_its_pte_is_overwritten(machine):
    """Overwriting a PTE drops the PTE's reference to the page."""
    granter, mapper = machine.create_pair(iommu=True)
    for ref in (3, 9):
        mapping = mapper.map(granter, ref, HOST, entry=5)
        assert mapper.map(granter, ref + 1, HOST, entry=5).status == OKAY
        assert granter.page_counts(ref) == (2, 1)
        assert mapper.iommu_permissions(granter, ref) == 3
        assert mapping.status == OKAY
    list(mapper.destroy())
    assert {granter.page_counts(page) for page in range(16)} == {(1, 0)}


def test_a_kernel_without_support_gets_machine_addresses(machine):
    granter, mapper = machine.create_pair(iommu=True, old_kernel=True)
    for ref, flags in itertools.product((3, 9), (HOST, DEVICE)):
        mapping = mapper.map(granter, ref, flags)
        assert mapping.bus == granter.frame(ref) * PAGE
        assert mapper.unmap(mapping) == OKAY
