"""Destruction of a domain, and the cost of requests with many outstanding mappings."""

from tests.hypervisor.binding import BAD_PAGE, BAD_REF, DEVICE, GENERAL, HOST, OKAY, READONLY

MANY = 1000
#: entries per page, of the active entries and of the maptrack table
PAGE_OF_ENTRIES = 256


def create_mappings(machine, mappings: int, **mapper):
    """Create a granter and a mapper that has mapped `mappings` references of it."""
    granter, mapper = machine.create_pair(**mapper)
    assert granter.grow(3) == OKAY
    for ref in range(16, mappings):
        granter.grant(ref, to=mapper.domid, page=16 + ref % 32)
    requests = [(ref, DEVICE | READONLY, 0) for ref in range(mappings)]
    assert {mapping.status for mapping in mapper.map_all(granter, requests)} == {OKAY}
    return granter, mapper


def test_xsa_380_destruction_is_preemptible(machine):
    granter, mapper = create_mappings(machine, MANY)
    machine.calls.preempt_every(1)
    released = []
    steps = mapper.destroy()
    more = True
    while more:
        with machine.record_events() as log:
            more = next(steps, steps) is not steps
        released.append(len(log.subjects("lock &act->lock")))
    # Each entry is released once, as progress is kept.
    assert sum(released) == MANY
    assert max(released) <= PAGE_OF_ENTRIES
    assert {granter.entry(ref).pin for ref in range(MANY)} == {0}
    list(granter.destroy())
    assert (machine.state.domains, machine.state.xen_pages) == (0, 0)


def steps_after_failed_maps(machine, refusing: int) -> int:
    """Return the steps of the destruction of a mapper that no domain lets map anything."""
    machine.reset()
    mapper = machine.create(1)
    for domid in range(10, 10 + refusing):
        other = machine.create(domid)
        other.grant(10, to=77)
        other.grant(11, to=mapper.domid, frame=0xFFFFFFF)
        refs = 9, 10, 11, 1 << 20
        requests = [(ref, DEVICE | READONLY, 0) for ref in refs]
        statuses = [mapping.status for mapping in mapper.map_all(other, requests)]
        assert statuses == [GENERAL, GENERAL, BAD_PAGE, BAD_REF]
    machine.calls.preempt_every(1)
    return sum(1 for _ in mapper.destroy())


def test_xsa_380_destruction_does_not_depend_on_failed_maps(machine):
    assert steps_after_failed_maps(machine, 40) == steps_after_failed_maps(machine, 1)


def test_xsa_380_request_cost_does_not_depend_on_mappings(machine):
    events = []
    for mappings in (20, MANY):
        machine.reset()
        granter, mapper = create_mappings(machine, mappings, iommu=True)
        granter.grant(1100, to=mapper.domid, page=63)
        with machine.record_events() as log:
            mapping = mapper.map(granter, 1100, HOST)
            assert mapper.unmap(mapping) == OKAY
            again = mapper.map(granter, 3, HOST)
            assert mapper.unmap(again) == OKAY
        events.append([name for name, _ in log.events])
    assert events[0] == events[1]
