"""Version switches and reference swaps, alone and during other operations."""

import errno

import pytest

from tests.hypervisor.binding import BAD_REF, EAGAIN, GENERAL, HOST, OKAY, PINS, READING, WRITING

#: bit of a frame index that selects status frames
STATUS = 0x80000000


def test_xsa_18_swap_checks_both_references(machine):
    granter = machine.create(2, grant_frames=4)
    for version, references in ((1, 512), (2, 256)):
        assert granter.set_version(version) == OKAY
        for wrong in (references, 2 * references, 0xFFFFFFFF):
            assert granter.swap(9, wrong) == BAD_REF
            assert granter.swap(wrong, 9) == BAD_REF
        assert granter.swap(9, references - 1) == OKAY


def test_xsa_134_swap_respects_the_version(machine):
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


def test_xsa_384_486_a_frame_is_not_freed_while_being_mapped(machine):
    guest = machine.create(2)
    assert guest.set_version(2) == OKAY
    for index in (0, STATUS):
        with machine.record_events() as log:
            frame = guest.hold_frame(index)
        # Freeing it needs the lock, which is held throughout, and is prevented by a reference.
        order = [
            log.first_index(name, subject)
            for name, subject in (
                ("write &gt->lock", None),
                ("map table frame", frame),
                ("put page", frame),
            )
        ]
        assert order == sorted(order)
        unlocked = [i for i, (name, _) in enumerate(log.events) if name.startswith("unwrite")]
        assert len(unlocked) == 1
        assert unlocked[0] > order[-1]
        machine.calls.drop_frame(frame)


def once(event: str, do):
    """Return an event handler that calls `do` at the first event of this name."""
    pending = [do]

    def handler(name, _):
        if name == event and pending:
            pending.pop()()

    return handler


def fail_after_version_switch(machine, before: int, ref: int) -> None:
    """Let the mapping of a reserved reference fail after a version switch."""
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


def test_xsa_501_the_status_is_cleared_in_the_current_version(machine):
    for before, ref in ((1, 0), (1, 3), (2, 0)):
        fail_after_version_switch(machine, before, ref)


@pytest.mark.xfail(strict=True, reason="Xen clears the status at the version 2 location")
def test_the_status_is_cleared_after_a_switch_to_version_1(machine):
    fail_after_version_switch(machine, 2, 3)


def test_xsa_501_an_unmap_is_completed_in_the_current_version(machine):
    """The version can change between the two passes of an unmap if the reference is reserved."""
    for version, ref in ((1, 0), (1, 3), (2, 0)):
        machine.reset()
        granter, mapper = machine.create_pair(version=version)
        mapping = mapper.map(granter, ref)
        switched = []

        def switch(granter=granter, version=version, switched=switched):
            switched.append(granter.on(1, 1).set_version(3 - version))

        with machine.record_events(once("flush TLB", switch)):
            assert mapper.unmap(mapping) == OKAY
        assert switched == [OKAY]
        assert (granter.entry(ref).pin, granter.status(ref)) == (0, 0)
        assert machine.is_consistent()


def table_lock_held(held: list[int], name: str, subject: int) -> bool:
    """Update the list of held table locks; return whether any is held."""
    if name.startswith(("read", "write &")):
        held.append(subject)
    elif name.startswith(("unread", "unwrite")):
        held.remove(subject)
    return bool(held)


def test_xsa_501_no_version_switch_while_a_reference_is_in_use(machine):
    for version, granter, mapper in machine.create_pairs():
        results, held = [], []

        def switch(name, subject, granter=granter, version=version, results=results, held=held):
            locked = table_lock_held(held, name, subject)
            if (
                name in {"unread &gt->lock", "unlock &act->lock"}
                and not locked
                and granter.entry(9).pin
            ):
                results.append(granter.on(1, 1).set_version(3 - version))

        with machine.record_events(switch):
            mapping = mapper.map(granter, 9)
            assert mapper.unmap(mapping) == OKAY
            assert mapper.map(granter, 9, host_addr=1 << 40).status == GENERAL
        assert results
        assert set(results) == {-errno.EBUSY}
        assert granter.set_version(3 - version) == OKAY
        assert machine.is_consistent()


def test_xsa_501_the_version_is_read_with_the_entry_locked(machine):
    # While no table lock is held, the version can change until the entry is locked.
    for version, granter, mapper in machine.create_pairs():
        switched, held = [], []

        def switch(name, subject, granter=granter, version=version, switched=switched, held=held):
            locked = table_lock_held(held, name, subject)
            if name in {"lock &act->lock", "read &gt->lock"} and not switched:
                if name.startswith("read"):
                    held.remove(subject)
                elif locked:
                    return
                switched.append(granter.on(1, 1).set_version(3 - version))
                granter.grant(9, to=1, page=9)
                if name.startswith("read"):
                    held.append(subject)

        with machine.record_events(switch):
            mapping = mapper.map(granter, 9)
        assert switched == [OKAY]
        assert (mapping.status, granter.status(9)) == (OKAY, READING | WRITING)
        assert granter.entry(9).pin == PINS[HOST]
        assert mapper.unmap(mapping) == OKAY
        assert machine.is_consistent()


def test_a_version_switch_acquires_only_locks_that_are_held(machine):
    """It holds the table lock for writing, so vCPUs that map wait for it."""
    granter, mapper = machine.create_pair()
    assert granter.grow(4) == OKAY
    mapping = mapper.map(granter, 9)
    for expected in (-errno.EBUSY, OKAY):
        with machine.record_events() as log:
            assert granter.set_version(2) == expected
        assert log.subjects("lock &act->lock") == []
        mapper.unmap(mapping)
    assert machine.is_consistent()
