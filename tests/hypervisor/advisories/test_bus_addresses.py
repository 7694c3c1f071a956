"""Mappings with bus addresses of their own: what no advisory was about yet."""

import pytest

from tests.hypervisor.binding import BAD_BUS, DEVICE, HOST, OKAY, PAGE, PERMIT, READONLY, Machine
from tests.hypervisor.userspace import compile_hypervisor, link

#: as many as Xen completes at a time
BATCH = 32


@pytest.fixture
def machine(machine) -> Machine:
    if not machine.bus:
        pytest.skip("mappings have machine addresses")
    return machine


def asked(mappings) -> list[tuple[int, int, int]]:
    return [(m.handle, m.host_addr if m.flags & HOST else 0, m.bus) for m in mappings]


def test_each_mapping_has_an_address(machine):
    granter, mapper = machine.create_pair(iommu=True)
    flags = (HOST, HOST | READONLY, DEVICE, DEVICE | READONLY, HOST | DEVICE)
    asks = [(ref, f) for ref in (3, 9) for f in flags]
    made = [mapper.map(granter, *ask, entry=entry) for entry, ask in enumerate(asks)]
    assert {mapping.status for mapping in made} == {OKAY}
    assert len({mapping.bus for mapping in made}) == len(made)
    # Beyond all there is.
    assert min(mapping.bus for mapping in made) > max(map(granter.frame, range(16))) * PAGE
    assert machine.is_consistent()
    assert mapper.unmap_all(asked(made)) == [OKAY] * len(made)
    assert machine.is_consistent()


def test_of_ones_own_it_is_the_machine_address(machine):
    own = machine.create(5, iommu=True)
    own.grant(9, to=own.domid, page=1, flags=PERMIT)
    mapping = own.map(own, 9, DEVICE)
    assert mapping.bus == own.frame(1) * PAGE
    assert own.unmap(mapping, bus=mapping.bus + PAGE) == BAD_BUS
    assert own.unmap(mapping) == OKAY
    mapping = own.map(own, 9, HOST)
    assert own.unmap(mapping, bus=1) == OKAY  # not a device's: it is not looked at
    assert machine.is_consistent()


def test_a_bus_address_says_which(machine):
    granter, mapper = machine.create_pair(iommu=True)
    for ref in (3, 9):
        one, other = (mapper.map(granter, ref, HOST, entry=entry) for entry in (1, 2))
        before = granter.entry(ref).pin, granter.page_counts(ref), mapper.host_entry(1), mapper.host_entry(2)
        for wrong in (one.bus + PAGE, one.bus + 1, granter.frame(ref) * PAGE, 1, (1 << 64) - 1):
            assert mapper.unmap(one, bus=wrong) == BAD_BUS
        assert before == (granter.entry(ref).pin, granter.page_counts(ref), mapper.host_entry(1), mapper.host_entry(2))
        assert machine.is_consistent()
        assert mapper.unmap(other, bus=other.bus) == OKAY
        assert (mapper.host_entry(1) != 0, mapper.host_entry(2)) == (True, 0)
        assert mapper.unmap(one, bus=one.bus) == OKAY
        one, other = (mapper.map(granter, ref, DEVICE) for _ in range(2))
        assert mapper.unmap(other) == OKAY
        assert mapper.unmap(one) == OKAY
        assert machine.is_consistent()


def test_a_bus_address_is_good_once(machine):
    """In one batch, while another mapping has the same handle."""
    granter, mapper = machine.create_pair(iommu=True)
    mapper.map(granter, 9, DEVICE)
    mapping = mapper.map(granter, 9, DEVICE)
    first, second = mapper.unmap_all(asked([mapping]) * 2)
    assert first == OKAY
    assert second != OKAY
    assert machine.is_consistent()


def test_a_batch_is_flushed_once(machine):
    granter, mapper = machine.create_pair(iommu=True)
    for count, flushes in ((1, 1), (BATCH, 1), (BATCH + 1, 2)):
        made = [mapper.map(granter, 9, DEVICE) for _ in range(count)]
        with machine.record_events() as log:
            assert mapper.unmap_all(asked(made)) == [OKAY] * count
        assert len(log.subjects("flush IOTLB")) == flushes
        assert machine.is_consistent()


def test_no_table_is_locked(machine):
    granter, mapper = machine.create_pair(iommu=True)
    mapper.unmap(mapper.map(granter, 9, DEVICE))  # what is needed once
    with machine.record_events() as log:
        assert mapper.unmap(mapper.map(granter, 9, DEVICE)) == OKAY
    locks = {name for name, _ in log.events if name.startswith(("lock ", "read ", "write &"))}
    assert "write &gt->lock" not in locks
    if machine.fast:
        assert locks == {"lock &act->lock"}


def test_what_devices_may_still_reach_is_kept(machine):
    for flags in (HOST, DEVICE, HOST | READONLY, DEVICE | READONLY):
        machine.reset()
        granter, mapper = machine.create_pair(iommu=True)
        mapping = mapper.map(granter, 9, flags)
        before = granter.page_counts(9)
        with machine.record_events(lambda name, _: name == "flush IOTLB"):
            assert mapper.unmap(mapping) == OKAY
        # All but what the PTE had, which is gone.
        kept = granter.page_counts(9)
        assert kept[0] == before[0]
        # The address is not given to another mapping.
        again = mapper.map(granter, 9, flags, entry=4)
        assert (again.status, again.bus != mapping.bus) == (OKAY, True)
        assert mapper.unmap(again) == OKAY
        assert (mapper.state.fast, mapper.state.slow).count(0) == 1
        list(mapper.destroy())
        assert granter.entry(9).pin == 0
        # What the PTE had is lost with it: that is the end of a page, not of its next owner.
        assert granter.page_counts(9)[0] == (2 if flags & HOST else 1)


@pytest.mark.parametrize(
    ("cpu", "iommu", "first"),
    [
        # QEMU's by default, its with 48 bits, a server's, and AMD's.
        *((40, 39, None), (40, 48, 1 << 40), (46, 48, 1 << 46), (48, 64, 1 << 48)),
        # CPUs with as many as the IOMMU; nearly; and a CPU that would reach into what AMD reserves.
        *((48, 48, None), (39, 45, 1 << 40), (39, 44, None)),
    ],
)
def test_where_there_is_room(cpu, iommu, first, patched_sources, tmp_path):
    """Beyond what CPUs address, or not at all."""
    flags = ("-O1", f"-DCPU_BITS={cpu}", f"-DIOMMU_BITS={iommu}")
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


def test_a_page_is_held_without_its_pte(machine):
    """Where the guest overwrites that, which drops the reference it had."""
    granter, mapper = machine.create_pair(iommu=True)
    for ref in (3, 9):
        mapping = mapper.map(granter, ref, HOST, entry=5)
        assert mapper.map(granter, ref + 1, HOST, entry=5).status == OKAY
        assert granter.page_counts(ref) == (2, 1)
        assert mapper.iommu_permissions(granter, ref) == 3
        assert mapping.status == OKAY
    list(mapper.destroy())
    assert {granter.page_counts(page) for page in range(16)} == {(1, 0)}
