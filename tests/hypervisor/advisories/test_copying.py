"""Copies, which pin as mappings do, and give up their locks in between."""

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
    """Create an owner, whose page a granter passes on; that granter, and who copies."""
    owner, granter, copier = machine.create(0), machine.create(2), machine.create(1)
    owner.grant(10, to=2, page=5)
    assert granter.set_version(2) == OKAY
    granter.grant(9, to=1, flags=TRANSITIVE, frame=10)
    owner.contents(5)[:8] = b"passedon"
    granter.contents(4)[:8] = b"granters"
    return owner, granter, copier


def between(do):
    """Do something when the granter's lock is first given up, for the owner's."""
    left = [do]

    def react(what, _):
        if what == "unread &gt->lock" and left:
            left.pop()()

    return react


def interrupted(machine):
    """Copy what is passed on, and turn it into something else that is in use, in between."""
    owner, granter, copier = transitive(machine)
    made = []

    def interfere():
        granter.grant(9, to=1, page=4)
        made.append(copier.on(1, 1).map(granter, 9))

    with machine.record_events(between(interfere)) as log:
        status = copier.copy(granter, 9)
    return owner, granter, copier, status, made[0], watch


def test_xsa_226_what_changed_without_the_lock_is_looked_at_again(machine):
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


def test_xsa_318_a_continuation_is_of_all_that_is_left(machine):
    # One that makes no progress at all,
    *_, status, _, _ = interrupted(machine)
    assert status == OKAY

    # and those that make some.
    for every in (1, 2, 3, 7):
        machine.reset()
        granter, mapper = machine.create_pair()
        machine.calls.preempt_every(every)
        refs = range(16)
        for ref in refs:
            granter.contents(ref)[:8] = b"number%2d" % ref
        assert mapper.copy_all(granter, [(ref, 15 - ref) for ref in refs]) == [OKAY] * 16
        assert [mapper.contents(15 - ref)[6:8] for ref in refs] == [b"%2d" % ref for ref in refs]
        asked = [(n % 16, HOST, mapper.address(n)) for n in range(75)]
        mappings = mapper.map_all(granter, asked)
        assert {mapping.status for mapping in mappings} == {OKAY}
        undone = mapper.unmap_all([(m.handle, m.host_addr, 0) for m in mappings])
        assert set(undone) == {OKAY}
        assert machine.is_consistent()


def test_xsa_411_no_table_is_locked_while_another_is(machine):
    held, most = [], []

    def count(watch):
        for what, about in log.events:
            if what.startswith(("read &", "lock &act")):
                most.append((len(held), what.startswith("read")))
                held.append(about)
            elif what.startswith(("unread &", "unlock &act")):
                held.remove(about)

    _, granter, copier = transitive(machine)
    with machine.record_events() as log:
        assert copier.copy(granter, 9) == OKAY
    count(watch)
    machine.reset()
    *_, watch = interrupted(machine)
    count(watch)
    # Even where what was taken from the other has to be given back.
    assert {number for number, of_table in most if of_table} == {0}
    assert held == []


def test_xsa_501_the_version_stays_while_a_copy_passes_on(machine):
    _, granter, copier = transitive(machine)
    answers = []
    with machine.record_events(between(lambda: answers.append(granter.on(1, 1).set_version(1)))):
        status = copier.copy(granter, 9)
    assert answers == [-errno.EAGAIN]
    assert status == OKAY
    assert copier.contents(0)[:8] == b"passedon"
    granter.grant(9, to=1, flags=0)
    assert granter.set_version(1) == OKAY


def test_xsa_236_a_pin_does_not_mean_a_page(machine):
    granter, mapper = machine.create_pair()
    mapper.map(granter, 9, HOST | READONLY, entry=0)
    # Mapped over: the page's reference is dropped, its pin stays; another one keeps the granter.
    mapper.map(granter, 10, HOST | READONLY, entry=0)
    assert (granter.entry(9).pin, granter.page_counts(9)) == (PINS[HOST | READONLY], (1, 0))
    list(granter.destroy())
    assert granter.state.dying
    assert granter.page_counts(9)[0] == 0
    for ref in (9, 10):
        assert mapper.copy(granter, ref) == BAD_DOMAIN
    assert granter.page_counts(9)[0] == 0


def test_xsa_500_what_is_pinned_is_what_was_granted_then(machine):
    granter, mapper = machine.create_pair()
    first = mapper.map(granter, 9, HOST | READONLY)
    # The granter says something else now: neither is another page of it used, nor marked.
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
