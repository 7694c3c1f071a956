"""Lock order, release of locks on error paths, and speculation barriers."""

import errno

from tests.hypervisor.binding import (
    BAD_DOMAIN,
    BAD_HANDLE,
    BAD_PAGE,
    BAD_REF,
    CONTAINS_PTE,
    DEVICE,
    GENERAL,
    GRANT_READONLY,
    HOST,
    NO_SPACE,
    OKAY,
    PERMIT,
    READONLY,
    Domain,
)

#: kinds of locks, in the order in which they may be acquired
TABLE, ENTRY, PAGES, HANDLES = range(4)


class Locks:
    """Event handler that records held locks and violations of the lock order."""

    def __init__(self):
        self.held: list[tuple[int, int, str]] = []
        self.violations: list[tuple[str, list[str]]] = []
        self.acquired_kinds: set[int] = set()

    @staticmethod
    def kind(name: str) -> int:
        kinds = {"act": ENTRY, "p2m": PAGES, "page": PAGES, "maptrack": HANDLES}
        return next((kind for part, kind in kinds.items() if part in name), TABLE)

    def __call__(self, event, subject):
        verb, _, name = event.partition(" ")
        if verb in {"read", "write", "lock", "try"} and name.startswith("&"):
            kind = self.kind(name)
            swapping = kind == ENTRY and any(held.startswith("write") for _, _, held in self.held)
            # What does not wait for a lock may take it in any order.
            waits = verb != "try" and not swapping
            if any(kind <= other for other, _, _ in self.held) and waits:
                self.violations.append((event, [held for _, _, held in self.held]))
            self.held.append((kind, subject, event))
            self.acquired_kinds.add(kind)
        elif verb.startswith("un"):
            self.held = [lock for lock in self.held if lock[1] != subject]


def operations(machine, version: int, **config):
    """Make requests that take locks, valid and invalid ones; yield actual and expected statuses."""
    granter, mapper = machine.create_pair(version=version, **config)
    bad_address = 1 << 40
    for ref in (3, 9):
        kinds = HOST, HOST | READONLY, HOST, HOST
        mappings = [mapper.map(granter, ref, flags, entry) for entry, flags in enumerate(kinds)]
        yield [mapping.status for mapping in mappings], [OKAY] * 4
        yield mapper.map(granter, ref, host_addr=bad_address).status, GENERAL
        yield mapper.on(1).unmap(mappings[0], host_addr=mapper.address(20)), GENERAL
        yield [mapper.on(1).unmap(mapping) for mapping in mappings], [OKAY] * 4
        yield mapper.map(granter, ref, host_addr=bad_address).status, GENERAL
        yield mapper.unmap(mappings[0]), BAD_HANDLE

        granter.grant(ref, to=77, page=ref)
        yield mapper.map(granter, ref).status, GENERAL
        granter.grant(ref, to=mapper.domid, page=ref, flags=PERMIT | GRANT_READONLY)
        yield mapper.map(granter, ref).status, GENERAL
        granter.grant(ref, to=mapper.domid, frame=0xFFFFFFF)
        yield mapper.map(granter, ref).status, BAD_PAGE
        yield mapper.copy(granter, ref), BAD_PAGE
        granter.grant(ref, to=mapper.domid, page=ref)
        yield [mapper.copy(granter, ref, write=write) for write in (False, True)], [OKAY] * 2

    out_of_bounds = 512 // version
    yield mapper.map(granter, out_of_bounds).status, BAD_REF
    yield mapper.copy(granter, out_of_bounds), BAD_REF
    yield mapper.map(granter, 1 << 31).status, BAD_REF
    yield mapper.map(Domain(machine, 99, translated=False), 9).status, BAD_DOMAIN
    yield [granter.swap(10, other) for other in (out_of_bounds, 11, 10)], [BAD_REF, OKAY, OKAY]
    handles = 0x80020009, 0x8002FFFF, 0xFFFFFFFF
    yield mapper.unmap_all([(handle, 0, 0) for handle in handles]), [BAD_HANDLE] * 3
    mapping = mapper.map(granter, 9)
    yield granter.set_version(3 - version), -errno.EBUSY
    yield mapper.unmap(mapping), OKAY
    yield granter.grow(4), OKAY
    yield granter.set_version(3 - version), OKAY


def worlds(machine):
    """Yield `operations` for each table version and kind of mapper."""
    for version in (1, 2):
        for config in ({}, {"iommu": True}, {"translated": True}):
            machine.reset()
            yield operations(machine, version, **config)


def test_xsa_73_lock_order_is_consistent(machine):
    locks = Locks()
    with machine.record_events(locks):
        for world in worlds(machine):
            for status, expected in world:
                assert status == expected
    assert locks.acquired_kinds == {TABLE, ENTRY, PAGES, HANDLES}
    assert locks.violations == []


def test_xsa_235_error_paths_release_all_locks(machine):
    locks = Locks()
    with machine.record_events(locks):
        for world in worlds(machine):
            for status, expected in world:
                assert status == expected
                # The harness also aborts if a hypercall returns with a lock held.
                assert locks.held == []

        machine.reset()
        granter, mapper = machine.create_pair()
        machine.calls.fail_allocations(0)
        assert mapper.map(granter, 9).status == NO_SPACE
        assert mapper.map(granter, 3).status == NO_SPACE
        assert granter.grow(20) == GENERAL
        assert granter.set_version(2) == -errno.ENOMEM
        machine.calls.fail_allocations(-1)
        assert mapper.map(granter, 9, HOST | CONTAINS_PTE, host_addr=1).status == GENERAL
    assert locks.held == []
    assert machine.is_consistent()


def test_xsa_228_free_lists_are_accessed_with_their_lock(machine):
    granter, mapper = machine.create_pair()
    with machine.record_events() as log:
        mapping = mapper.map(granter, 3)
    owned = set(log.subjects("lock &v->maptrack_freelist_lock"))
    assert len(owned) == 1
    with machine.record_events() as log:
        again = mapper.map(granter, 4, entry=1)
    assert log.subjects("lock &v->maptrack_freelist_lock") == [*owned]
    # A handle is freed to the list of the vCPU it came from, whichever vCPU unmaps.
    for one, by in ((mapping, mapper.on(1)), (again, mapper)):
        with machine.record_events() as log:
            assert by.unmap(one) == OKAY
        assert log.subjects("lock &v->maptrack_freelist_lock") == [*owned]


def test_xsa_453_bounds_checks_block_speculation(machine):
    granter, mapper = machine.create_pair()
    for ref in (3, 9):
        with machine.record_events() as mapped:
            mapping = mapper.map(granter, ref)
        with machine.record_events() as unmapped:
            assert mapper.unmap(mapping) == OKAY
        for log in (mapped, unmapped):
            # Between the check of a reference and its first use is a barrier or
            # array_index_nospec().
            before = log.events[: log.first_index("lock &act->lock")]
            assert before
            assert before[-1] in {("block speculation", 0), ("index", ref)}


def test_xsa_453_version_checks_block_speculation(machine):
    granter, mapper = machine.create_pair()
    for ref in (3, 9):
        with machine.record_events() as mapped:
            mapping = mapper.map(granter, ref, DEVICE)
        with machine.record_events() as unmapped:
            assert mapper.unmap(mapping) == OKAY
        # The version is checked after the lock's own barrier, so a second one is needed.
        for log in (mapped, unmapped):
            sections = "".join(
                {"lock &act->lock": "(", "unlock &act->lock": ")", "block speculation": "b"}.get(
                    name, ""
                )
                for name, _ in log.events
            )
            locked = [part.partition(")")[0] for part in sections.split("(")[1:]]
            assert max(map(len, locked)) >= 2
