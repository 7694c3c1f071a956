"""The end of a domain, and what each request costs with many mappings held."""

from tests.hypervisor.binding import DEVICE, HOST, OKAY, READONLY

MANY = 1000
#: entries of a page, of either table
PAGE_OF_ENTRIES = 256


def held(machine, mappings: int, **mapper):
    """Create a mapper of as many mappings, of as many references; and its granter."""
    granter, mapper = machine.create_pair(**mapper)
    assert granter.grow(3) == OKAY
    for ref in range(16, mappings):
        granter.grant(ref, to=mapper.domid, page=16 + ref % 32)
    asked = [(ref, DEVICE | READONLY, 0) for ref in range(mappings)]
    assert {mapping.status for mapping in mapper.map_all(granter, asked)} == {OKAY}
    return granter, mapper


def test_xsa_380_destruction_goes_by_small_steps(machine):
    granter, mapper = held(machine, MANY)
    machine.calls.preempt_every(1)
    released = []
    steps = mapper.destroy()
    more = True
    while more:
        with machine.record_events() as log:
            more = next(steps, steps) is not steps
        released.append(len(log.subjects("lock &act->lock")))
    # None twice: progress is kept.
    assert sum(released) == MANY
    assert max(released) <= PAGE_OF_ENTRIES
    assert {granter.entry(ref).pin for ref in range(MANY)} == {0}
    list(granter.destroy())
    assert (machine.state.domains, machine.state.xen_pages) == (0, 0)


def test_xsa_380_no_request_looks_at_all_that_is_held(machine):
    went_on = []
    for mappings in (20, MANY):
        machine.reset()
        granter, mapper = held(machine, mappings, iommu=True)
        granter.grant(1100, to=mapper.domid, page=63)
        with machine.record_events() as log:
            mapping = mapper.map(granter, 1100, HOST)
            assert mapper.unmap(mapping) == OKAY
            again = mapper.map(granter, 3, HOST)
            assert mapper.unmap(again) == OKAY
        went_on.append([what for what, _ in log.events])
    assert went_on[0] == went_on[1]
