"""Where the sequences' host mappings go: addresses with the tags that are wanted.

A mapping's tag is 10 bits made of its host address, in units of a page, or of 8 bytes where the
address is that of a page table entry.
"""

from collections import defaultdict
from typing import NamedTuple

from mapper import Mapper
from mapper_mailbox import REACH, STEPS_MAX, Step

PAGE = 4096
#: three regions of the mapper's address space, 1 GiB each: for addresses, for page table entries
BASE, ENTRIES, SPARE = 0x4000_0000 >> 12, 0x8000_0000, 0xC000_0000
TABLES = 24
#: bytes that a page table covers
REGION = 512 * PAGE


class HostSlot(NamedTuple):
    """A host address as an operation takes it, and where the guest then sees the page."""

    host: int
    visible_at: int


def tag(unit: int) -> int:
    """What Xen keeps of an address, in its unit."""
    return (unit ^ unit >> 10 ^ unit >> 20) & 0x3FF


def page_slots(index: int) -> dict[str, HostSlot]:
    """The slots of the sequence of an index, below 512: pages."""
    # Bits 1 to 9 of the page number are the sequence's, the others the slots'; flipping a bit and
    # the one 10 above keeps the tag.
    number = BASE | index << 1
    slots = {"0": number, "1": number ^ 1, "=": number ^ 0x401, "?": number ^ 0x802}
    assert len({tag(slots[slot]) for slot in "0=?"}) == 1
    assert tag(slots["1"]) != tag(slots["0"])
    return {slot: HostSlot(page * PAGE, page * PAGE) for slot, page in slots.items()}


def make_page_tables(mapper: Mapper, spare: int) -> None:
    """Give a PV mapper page tables for those pages, and for some spare ones."""
    places = [BASE * PAGE + table * REGION for table in range(8)]
    places += range(SPARE, SPARE + spare * PAGE, REGION)
    mapper.do(Step(REACH, (place,)) for place in places)


def entry_slots(mapper: Mapper, count: int) -> list[dict[str, HostSlot]]:
    """The slots of `count` sequences: page table entries."""
    seen = [ENTRIES + page * PAGE for page in range(TABLES * 512)]
    by_tag: dict[int, list[HostSlot]] = defaultdict(list)
    for start in range(0, len(seen), STEPS_MAX):
        part = seen[start : start + STEPS_MAX]
        for host, at in zip(mapper.do(Step(REACH, (at,)) for at in part), part, strict=True):
            by_tag[tag(host >> 3)].append(HostSlot(host, at))
    alike = [places for places in by_tag.values() if len(places) > 2]
    slots = []
    while len(slots) < count:
        alike = [places for places in alike if len(places) > 2]
        for places, others in zip(alike, alike[1:] + alike[:1], strict=True):
            if len(places) > 2 and others:
                one, other, never = (places.pop() for _ in range(3))
                slots.append({"0": one, "=": other, "?": never, "1": others.pop()})
        assert alike, f"tags are alike for {len(slots)} sequences only"
    return slots[:count]
