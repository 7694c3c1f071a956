"""Executes sequences of maps and unmaps in a mapper, and prints the outcome of each stage.

arguments: KIND (pv or pvh), FAMILY of sequences.py, `single` or `batched` hypercalls

Many sequences run in parallel, one stage of all at a time. After each stage the mapper tests its
addresses and dom0 reads the granter's table. Prints a JSON line per sequence: its name and, per
stage, the status, how the page is accessible at every slot, and Xen's marks in the grant entry. The
output contains no handles, domids or frames, so that hypervisors can be compared by it.
"""

import json
import sys
from collections.abc import Iterator
from itertools import batched, count, zip_longest

from grant_operations import (
    GRANT_TABLE_OP,
    MAP,
    REPLACE,
    UNMAP,
    pack_map,
    pack_unmap,
    status_of_unmap,
    unpack_map,
)
from granters import FIRST, PERMIT, Granters, stamp
from host_slots import SPARE, HostSlot, entry_slots, make_page_tables, page_slots
from mapper import Mapper
from mapper_mailbox import FAULTED, HYPERCALL, PAGE, READ, STEPS_MAX, WRITE, Step
from sequences import FAMILIES, Map, Stage, Unmap, name

FLAGS = {"d": 1, "h": 2, "r": 4, "a": 8, "p": 2 | 16}
#: sequences in parallel, limited by the steps and the data area of the mailbox
TOGETHER = 500
PAGES = 8
INVALID = 0xFFFF_FFFF
#: every write has a different value
TOKENS = count(1)


class RunningSequence:
    """A sequence that is being executed."""

    def __init__(
        self, index: int, stages: tuple[Stage | None, ...], slots: dict[str, HostSlot]
    ) -> None:
        self.gref = FIRST + index
        self.stages = stages
        self.slots = slots
        self.made: list[tuple[Map, int, int]] = []  # map, handle, bus address
        self.outcomes: list[str] = []

    def operation(self, domid: int, stage: Stage) -> tuple[int, bytes]:
        """Return the GNTTABOP command of a stage, and its packed operation."""
        if isinstance(stage, Map):
            flags = sum(FLAGS[letter] for letter in set(stage.flags))
            host = self.slots[stage.slot].host if stage.slot else 0
            return MAP, pack_map(domid, self.gref, flags, host)
        made, handle, bus = self.made[stage.index]
        slot = made.slot if stage.host == "own" else stage.host
        host = self.slots[slot].host if slot and stage.host != "none" else 0
        if stage.by == "replace":
            return REPLACE, pack_unmap(handle, host, SPARE + self.gref * PAGE)
        if "d" not in made.flags or stage.device == "none":
            bus = 0
        elif stage.device == "wrong":
            bus += PAGE
        return UNMAP, pack_unmap(handle, host, bus)

    def own_stages(self) -> tuple[Stage, ...]:
        """Return the stages without the skipped ones."""
        return tuple(stage for stage in self.stages if stage)

    def record_result(self, stage: Stage, operation: bytes) -> int:
        """Record the result of a stage's operation; returns its status."""
        if isinstance(stage, Map):
            status, handle, bus = unpack_map(operation)
            # A refused map returns no handle, so use an invalid one.
            self.made.append((stage, handle if status == 0 else INVALID, bus))
            return status
        return status_of_unmap(operation)


def align(stages: tuple[Stage, ...]) -> tuple[Stage | None, ...]:
    """Insert an empty stage into a sequence of one mapping, where others make their second.

    Xen must not allocate a freed handle to another sequence while this one unmaps it again.
    """
    return (None, *stages) if len(stages) > 1 and isinstance(stages[1], Unmap) else stages


def slots_of(stages: tuple[Stage | None, ...], pages: dict, entries: dict) -> dict[str, HostSlot]:
    """Return a sequence's slots: pages, or page table entries for mappings with `p`."""
    flags = {stage.slot: stage.flags for stage in stages if isinstance(stage, Map)}
    kinds = {slot: entries if "p" in flag else pages for slot, flag in flags.items()}
    # A wrong address is of the same kind as that of the first mapping.
    other = kinds.get("0", pages)
    return {slot: kinds.get(slot, other)[slot] for slot in "01=?"}


def hypercalls(mapper: Mapper, operations: list[tuple[int, bytes]], together: bool) -> list[bytes]:
    """Execute operations, each in its own hypercall, or adjacent ones of a kind together."""
    box, offset, steps, places = mapper.mailbox, 0, [], []
    last = None
    for command, operation in operations:
        address = box.put(offset, operation)
        if together and command == last:
            steps[-1] = steps[-1]._replace(args=(*steps[-1].args[:3], steps[-1].args[3] + 1))
        else:
            offset = -(-offset // 32) * 32
            address = box.put(offset, operation)
            steps.append(Step(HYPERCALL, (GRANT_TABLE_OP, command, address, 1)))
        last = command
        places.append((offset, len(operation)))
        offset += len(operation)
    failed = [result for result in mapper.do(steps) if result]
    assert not failed, failed
    return [box.take(*place) for place in places]


def writable(mapper: Mapper, readable: list[int]) -> set[int]:
    """Return the addresses at which the page is writable.

    A write to a read-only mapping faults in a PV guest, and is discarded in a PVH guest.
    """
    found = set()
    for part in batched(readable, STEPS_MAX // 2):
        tokens = [next(TOKENS) for _ in part]
        steps = []
        for address, token in zip(part, tokens, strict=True):
            steps += [Step(WRITE, (address + 8, token)), Step(READ, (address + 8,))]
        results = mapper.do(steps)
        for address, token, wrote, read in zip(
            part, tokens, results[::2], results[1::2], strict=True
        ):
            if wrote == 0 and read == token:
                found.add(address)
    return found


def observe(mapper: Mapper, running: list[RunningSequence], domid: int) -> list[str]:
    """Return the access at the slots of each sequence: w(ritable), r(eadonly), or `-`."""
    at = [slot.visible_at for sequence in running for slot in sequence.slots.values()]
    read: list[int] = []
    for part in batched(at, STEPS_MAX):
        read += mapper.do(Step(READ, (address,)) for address in part)
    readable = [
        address for address, value in zip(at, read, strict=True) if value not in {FAULTED, -1}
    ]
    written = writable(mapper, readable)
    words = []
    for index, (address, value) in enumerate(zip(at, read, strict=True)):
        gref = running[index // 4].gref
        if value in {FAULTED, -1}:
            words.append("-")
        elif value != stamp(domid, FIRST + (gref - FIRST) % PAGES):
            words.append(f"another page: {value:#x}")
        else:
            words.append("w" if address in written else "r")
    return ["".join(words[index : index + 4]) for index in range(0, len(words), 4)]


def run_stages(
    mapper: Mapper, granters: Granters, running: list[RunningSequence], together: bool
) -> Iterator[RunningSequence]:
    """Execute all stages of some sequences."""
    granter = granters.all[0]
    for stages in zip_longest(*(sequence.stages for sequence in running)):
        now = [(c, stage) for c, stage in zip(running, stages, strict=True) if stage is not None]
        results = hypercalls(
            mapper, [sequence.operation(granter.domid, stage) for sequence, stage in now], together
        )
        views = observe(mapper, [sequence for sequence, _ in now], granter.domid)
        marks = granter.marks()
        for (sequence, stage), result, view in zip(now, results, views, strict=True):
            status = sequence.record_result(stage, result)
            sequence.outcomes.append(f"{status} {view} {marks.get(sequence.gref, 0)}")
    yield from running


def main(kind: str, family: str, together: bool) -> None:
    sequences = [align(stages) for stages in FAMILIES[family](kind)]
    with Granters(1, len(sequences), PAGES) as granters, Mapper(kind) as mapper:
        granters.grant(mapper.domid, PERMIT)
        entries = []
        if kind == "pv":
            make_page_tables(mapper, FIRST + len(sequences))
            entries = entry_slots(mapper, TOGETHER)
        for start in range(0, len(sequences), TOGETHER):
            running = []
            for index, stages in enumerate(sequences[start : start + TOGETHER]):
                pages = page_slots(index)
                slots = slots_of(stages, pages, entries[index] if entries else pages)
                running.append(RunningSequence(start + index, stages, slots))
            for sequence in run_stages(mapper, granters, running, together):
                print(json.dumps([name(sequence.own_stages()), sequence.outcomes]))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3] == "batched")
