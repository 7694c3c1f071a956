"""What no step of one CPU reaches: a second CPU in between, and what fails of the rest of Xen.

Each play has its own world, of the patched hypervisor in a LIBRARY that tells what goes on inside.
"""

import sys
from pathlib import Path

from tests.hypervisor.binding import (
    BAD_HANDLE,
    DEVICE,
    GENERAL,
    HOST,
    OKAY,
    READONLY,
    TRANSITIVE,
    Machine,
    EventHandler,
)

DENIED, TRY_AGAIN = -8, -11


def fails(event: str) -> EventHandler:
    return lambda what, _: -1 if what == event else 0


def not_permitted(machine: Machine) -> None:
    granter, mapper = machine.create_pair()
    with machine.record_events(fails("XSM map")):
        assert mapper.map(granter, 8).status == DENIED
    mapping = mapper.map(granter, 8)
    with machine.record_events(fails("XSM unmap")):
        assert mapper.unmap(mapping) == DENIED
    assert mapper.unmap(mapping) == OKAY


def not_mapped_for_devices(machine: Machine) -> None:
    granter, mapper = machine.create_pair(iommu=True)
    first = mapper.map(granter, 8, HOST | READONLY, entry=1)
    with machine.record_events(fails("IOMMU map")):
        for ref, flags in ((8, HOST), (9, HOST), (10, HOST | READONLY)):
            assert mapper.map(granter, ref, flags, entry=2).status == GENERAL
            assert mapper.host_entry(2) == 0
    assert mapper.unmap(first) == OKAY


def not_unmapped_from_devices(machine: Machine) -> None:
    granter, mapper = machine.create_pair(iommu=True)
    mapping = mapper.map(granter, 8)
    with machine.record_events(fails("IOMMU unmap")):
        assert mapper.unmap(mapping) == GENERAL
    assert mapper.host_entry(0) == 0


def switched_while_undone(machine: Machine) -> None:
    """A reserved reference's mapping fails after its granter has changed to version 2.

    After a change to version 1 Xen, stock as patched, looks for the status where version 2 had it.
    """
    granter, mapper = machine.create_pair(iommu=True)

    def switch(what, _):
        if what != "IOMMU map":
            return 0
        assert granter.on(0, 1).set_version(2) == 0
        return -1

    with machine.record_events(switch):
        assert mapper.map(granter, 1).status == GENERAL
    assert granter.state.version == 2
    assert granter.status(1) == 0


def unmapped_twice_at_once(machine: Machine) -> None:
    granter, mapper = machine.create_pair()
    mapping = mapper.map(granter, 3)
    answers = []

    def first(what, _):
        if what.startswith("read ") and not answers:
            answers.append(mapper.on(1, 1).unmap(mapping))

    with machine.record_events(first):
        answers.append(mapper.unmap(mapping))
    assert answers == [OKAY, BAD_HANDLE]


def switched_while_copied(machine: Machine) -> None:
    """A transitive grant is looked up with no lock of its granter's held."""
    granter, mapper = machine.create_pair(version=2)
    source = machine.create(0)
    source.grant(5, to=granter.domid, page=1)
    granter.grant(9, to=mapper.domid, frame=5, flags=TRANSITIVE)
    answers = []

    def switch(what, _):
        if what == "compare and exchange" and not answers:
            answers.append(granter.on(0, 1).set_version(1))

    with machine.record_events(switch):
        assert mapper.copy(granter, 9) == OKAY
    assert answers == [TRY_AGAIN]


def kept_as_devices_may_reach_it(machine: Machine) -> None:
    machine.bus = True
    machine.reset()
    machine.bus = False
    granter, mapper = machine.create_pair(iommu=True)
    for ref in (3, 9):
        mapping = mapper.map(granter, ref, DEVICE)
        with machine.record_events(fails("flush IOTLB")):
            mapper.unmap(mapping)
        assert granter.entry(ref).pin
        assert mapper.unmap(mapping) == OKAY


def not_released_as_devices_may_reach_it(machine: Machine) -> None:
    for ref in (3, 9):
        machine.bus = True
        machine.reset()
        machine.bus = False
        granter, mapper = machine.create_pair(iommu=True)
        mapper.map(granter, ref, DEVICE)
        end = mapper.destroy()
        with machine.record_events(fails("flush IOTLB")):
            next(end)
        assert granter.entry(ref).pin
        list(end)
        assert not granter.entry(ref).pin


PLAYS = (
    not_permitted,
    not_mapped_for_devices,
    switched_while_undone,
    unmapped_twice_at_once,
    switched_while_copied,
    not_unmapped_from_devices,
    kept_as_devices_may_reach_it,
    not_released_as_devices_may_reach_it,
)


def main(library: str) -> None:
    machine = Machine(Path(library), "patched")
    for play in PLAYS:
        machine.reset()
        play(machine)
        assert machine.is_consistent()


if __name__ == "__main__":
    main(*sys.argv[1:])
