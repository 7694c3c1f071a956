"""Grant copies, which pin entries like mappings and release locks in between."""

import errno

from tests.hypervisor.binding import (
    BAD_DOMAIN,
    GENERAL,
    HOST,
    OKAY,
    PINS,
    READING,
    READONLY,
    TRANSITIVE,
)


def transitive(machine):
    """Create the owner of a page, a granter with a transitive grant of it, and a copier."""
    owner, granter, copier = machine.create(0), machine.create(2), machine.create(1)
    owner.grant(10, to=2, page=5)
    assert granter.set_version(2) == OKAY
    granter.grant(9, to=1, flags=TRANSITIVE, frame=10)
    owner.contents(5)[:8] = b"passedon"
    granter.contents(4)[:8] = b"granters"
    return owner, granter, copier


def on_first_unlock(do):
    """Return an event handler that calls `do` once, when a table lock is first released."""
    pending = [do]

    def handler(name, _):
        if name == "unread &gt->lock" and pending:
            pending.pop()()

    return handler


def interrupted(machine):
    """Copy a transitive grant that becomes a mapped ordinary grant while no lock is held."""
    owner, granter, copier = transitive(machine)
    mappings = []

    def interfere():
        granter.grant(9, to=1, page=4)
        mappings.append(copier.on(1, 1).map(granter, 9))

    with machine.record_events(on_first_unlock(interfere)) as log:
        status = copier.copy(granter, 9)
    return owner, granter, copier, status, mappings[0], log


def test_xsa_226_a_copy_rechecks_the_entry_after_relocking(machine):
    owner, granter, copier, status, mapping, _ = interrupted(machine)
    assert (mapping.status, status) == (OKAY, OKAY)
    assert copier.contents(0)[:8] == b"granters"
    assert (owner.entry(10).pin, granter.entry(9).pin) == (0, PINS[HOST])
    assert granter.page_counts(4) == (2, 1)
    assert owner.page_counts(5) == (1, 0)
    assert copier.unmap(mapping) == OKAY
    assert granter.status(9) == 0
    assert granter.set_version(1) == OKAY
    assert machine.is_consistent()


def test_xsa_318_a_continuation_covers_all_remaining_requests(machine):
    # A continuation without progress
    *_, status, _, _ = interrupted(machine)
    assert status == OKAY

    # and continuations with progress.
    for every in (1, 2, 3, 7):
        machine.reset()
        granter, mapper = machine.create_pair()
        machine.calls.preempt_every(every)
        refs = range(16)
        for ref in refs:
            granter.contents(ref)[:8] = b"number%2d" % ref
        assert mapper.copy_all(granter, [(ref, 15 - ref) for ref in refs]) == [OKAY] * 16
        assert [mapper.contents(15 - ref)[6:8] for ref in refs] == [b"%2d" % ref for ref in refs]
        requests = [(n % 16, HOST, mapper.address(n)) for n in range(75)]
        mappings = mapper.map_all(granter, requests)
        assert {mapping.status for mapping in mappings} == {OKAY}
        statuses = mapper.unmap_all([(m.handle, m.host_addr, 0) for m in mappings])
        assert set(statuses) == {OKAY}
        assert machine.is_consistent()


def test_xsa_411_only_one_table_lock_is_held(machine):
    held, acquired = [], []

    def count(log):
        for name, subject in log.events:
            if name.startswith(("read &", "lock &act")):
                acquired.append((len(held), name.startswith("read")))
                held.append(subject)
            elif name.startswith(("unread &", "unlock &act")):
                held.remove(subject)

    _, granter, copier = transitive(machine)
    with machine.record_events() as log:
        assert copier.copy(granter, 9) == OKAY
    count(log)
    machine.reset()
    *_, log = interrupted(machine)
    count(log)
    # Also where the pin of the owner's entry has to be released again.
    assert {number for number, of_table in acquired if of_table} == {0}
    assert held == []


def test_xsa_501_no_version_switch_during_a_transitive_copy(machine):
    _, granter, copier = transitive(machine)
    results = []
    with machine.record_events(
        on_first_unlock(lambda: results.append(granter.on(1, 1).set_version(1)))
    ):
        status = copier.copy(granter, 9)
    assert results == [-errno.EAGAIN]
    assert status == OKAY
    assert copier.contents(0)[:8] == b"passedon"
    granter.grant(9, to=1, flags=0)
    assert granter.set_version(1) == OKAY


def test_xsa_236_a_pin_does_not_imply_a_page_reference(machine):
    granter, mapper = machine.create_pair()
    mapper.map(granter, 9, HOST | READONLY, entry=0)
    # Overwriting the PTE drops the page's reference but not the pin; the second mapping keeps the
    # granter alive.
    mapper.map(granter, 10, HOST | READONLY, entry=0)
    assert (granter.entry(9).pin, granter.page_counts(9)) == (PINS[HOST | READONLY], (1, 0))
    list(granter.destroy())
    assert granter.state.dying
    assert granter.page_counts(9)[0] == 0
    for ref in (9, 10):
        assert mapper.copy(granter, ref) == BAD_DOMAIN
    assert granter.page_counts(9)[0] == 0


def test_xsa_500_a_pinned_entry_keeps_its_frame(machine):
    granter, mapper = machine.create_pair()
    first = mapper.map(granter, 9, HOST | READONLY)
    # The granter changes its entry: the new page must be neither used nor marked as in use.
    granter.grant(9, to=mapper.domid, page=12, flags=1 | READING)
    granter.contents(12)[:8] = b"anothers"
    assert mapper.copy(granter, 9, write=True) == GENERAL
    assert granter.contents(12)[:8] == b"anothers"
    assert (granter.page_counts(12), granter.page_counts(9)) == ((1, 0), (2, 0))
    assert granter.status(9) == READING

    again = mapper.map(granter, 9, HOST, entry=1)
    assert (again.status, again.bus) == (OKAY, first.bus)
    assert (granter.page_counts(12), granter.page_counts(9)) == ((1, 0), (3, 1))
    assert [mapper.unmap(mapping) for mapping in (first, again)] == [OKAY, OKAY]
    assert machine.is_consistent()
