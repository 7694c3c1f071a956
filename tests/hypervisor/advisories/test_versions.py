"""What a change of version, or a swap of references, may meet."""

import errno

import pytest

from tests.hypervisor.binding import BAD_REF, EAGAIN, GENERAL, HOST, OKAY, PINS, READING, WRITING

#: of an index: a frame of statuses
STATUS = 0x80000000


def test_xsa_18_both_references_of_a_swap_are_bounded(machine):
    granter = machine.create(2, grant_frames=4)
    for version, references in ((1, 512), (2, 256)):
        assert granter.set_version(version) == OKAY
        for wrong in (references, 2 * references, 0xFFFFFFFF):
            assert granter.swap(9, wrong) == BAD_REF
            assert granter.swap(wrong, 9) == BAD_REF
        assert granter.swap(9, references - 1) == OKAY


def test_xsa_134_a_swap_goes_by_the_version(machine):
    for _, granter, mapper in machine.create_pairs():
        assert granter.swap(9, 12) == OKAY
        mappings = [mapper.map(granter, ref, entry=ref) for ref in (9, 12)]
        assert [mapping.bus >> 12 for mapping in mappings] == [
            granter.frame(page) for page in (12, 9)
        ]
        assert [granter.swap(a, b) for a, b in ((9, 10), (10, 9))] == [EAGAIN, EAGAIN]
        assert [mapper.unmap(mapping) for mapping in mappings] == [OKAY, OKAY]
        assert machine.is_consistent()


def test_xsa_26_255_status_frames_in_use_are_not_freed(machine):
    guest = machine.create(2, grant_frames=32)
    assert guest.grow(32) == OKAY
    assert guest.set_version(2) == OKAY
    assert guest.state.status_frames == 4
    for index in range(4):
        frame = guest.hold_frame(STATUS | index)
        with machine.record_events() as log:
            assert guest.set_version(1) == -errno.EBUSY
        assert log.subjects("free page") == []
        assert (guest.state.version, guest.state.status_frames) == (2, 4)
        machine.calls.drop_frame(frame)

    with machine.record_events() as log:
        assert guest.set_version(1) == OKAY
    assert (guest.state.version, guest.state.status_frames) == (1, 0)
    assert len(set(log.subjects("free page"))) == 4
    with pytest.raises(OSError, match="grant table"):
        guest.hold_frame(STATUS | 40)


def test_xsa_384_486_a_frame_is_not_freed_before_it_is_held(machine):
    guest = machine.create(2)
    assert guest.set_version(2) == OKAY
    for index in (0, STATUS):
        with machine.record_events() as log:
            frame = guest.hold_frame(index)
        # What would free it needs the lock that is held all the time; so is a reference.
        order = [
            log.first_index(what, about)
            for what, about in (
                ("write &gt->lock", None),
                ("map table frame", frame),
                ("put page", frame),
            )
        ]
        assert order == sorted(order)
        unlocked = [i for i, (what, _) in enumerate(log.events) if what.startswith("unwrite")]
        assert len(unlocked) == 1
        assert unlocked[0] > order[-1]
        machine.calls.drop_frame(frame)


def once(event: str, do):
    """Do something when an event is told of for the first time."""
    left = [do]

    def react(what, _):
        if what == event and left:
            left.pop()()

    return react


def switched_meanwhile(machine, before: int, ref: int) -> None:
    """Have a mapping fail once the version has changed: reserved references stay in use then."""
    machine.reset()
    granter, mapper = machine.create_pair(version=before)
    switched = []

    def switch():
        assert granter.status(ref) == READING | WRITING
        switched.append(granter.on(1, 1).set_version(3 - before))

    with machine.record_events(once("unread &gt->lock", switch)):
        assert mapper.map(granter, ref, host_addr=1 << 40).status == GENERAL
    assert switched == [OKAY]
    assert (granter.entry(ref).pin, granter.status(ref)) == (0, 0)
    assert machine.is_consistent()


def test_xsa_501_a_status_is_where_it_is_now(machine):
    for before, ref in ((1, 0), (1, 3), (2, 0)):
        switched_meanwhile(machine, before, ref)


@pytest.mark.xfail(strict=True, reason="Xen, stock too, looks for it where version 2 had the entry")
def test_a_status_is_where_it_is_now_in_version_1(machine):
    switched_meanwhile(machine, 2, 3)


def table_lock(held: list[int], what: str, about: int) -> bool:
    """Keep account of the table locks that are held; return whether there is any."""
    if what.startswith(("read", "write &")):
        held.append(about)
    elif what.startswith(("unread", "unwrite")):
        held.remove(about)
    return bool(held)


def test_xsa_501_the_version_stays_while_a_reference_is_used(machine):
    for version, granter, mapper in machine.create_pairs():
        answers, held = [], []

        def switch(what, about, granter=granter, version=version, answers=answers, held=held):
            locked = table_lock(held, what, about)
            if (
                what in {"unread &gt->lock", "unlock &act->lock"}
                and not locked
                and granter.entry(9).pin
            ):
                answers.append(granter.on(1, 1).set_version(3 - version))

        with machine.record_events(switch):
            mapping = mapper.map(granter, 9)
            assert mapper.unmap(mapping) == OKAY
            assert mapper.map(granter, 9, host_addr=1 << 40).status == GENERAL
        assert answers
        assert set(answers) == {-errno.EBUSY}
        assert granter.set_version(3 - version) == OKAY
        assert machine.is_consistent()


def test_xsa_501_a_version_is_not_used_from_before_the_lock(machine):
    # Where no table lock is held, the version can change until the entry is locked.
    for version, granter, mapper in machine.create_pairs():
        switched, held = [], []

        def switch(what, about, granter=granter, version=version, switched=switched, held=held):
            locked = table_lock(held, what, about)
            if what in {"lock &act->lock", "read &gt->lock"} and not switched:
                if what.startswith("read"):
                    held.remove(about)
                elif locked:
                    return
                switched.append(granter.on(1, 1).set_version(3 - version))
                granter.grant(9, to=1, page=9)
                if what.startswith("read"):
                    held.append(about)

        with machine.record_events(switch):
            mapping = mapper.map(granter, 9)
        assert switched == [OKAY]
        assert (mapping.status, granter.status(9)) == (OKAY, READING | WRITING)
        assert granter.entry(9).pin == PINS[HOST]
        assert mapper.unmap(mapping) == OKAY
        assert machine.is_consistent()
