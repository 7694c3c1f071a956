"""Slots for the host mappings of sequences: addresses with equal or different tags.

A mapping's tag is a 10-bit hash of its host address, in units of a page, or of 8 bytes if it is the
address of a page table entry.
"""

from collections import defaultdict
from typing import NamedTuple

from mapper import REGION, Mapper
from mapper_mailbox import PAGE, REACH, STEPS_MAX, Step

#: regions of the mapper's address space, 1 GiB each: BASE (a page number) for pages, ENTRIES for
#: page table entries, SPARE for new addresses of unmap_and_replace
BASE, ENTRIES, SPARE = 0x4000_0000 >> 12, 0x8000_0000, 0xC000_0000
TABLES = 24


class HostSlot(NamedTuple):
    """A host address as passed to an operation, and the address at which the page is visible."""

    host: int
    visible_at: int


def tag(unit: int) -> int:
    """Return the tag that Xen stores of an address in its unit."""
    return (unit ^ unit >> 10 ^ unit >> 20) & 0x3FF


def page_slots(index: int) -> dict[str, HostSlot]:
    """Return the slots of sequence `index`, below 512, at pages."""
    # Bits 1 to 9 of the page number select the sequence, the others the slot. Flipping bits n and
    # n + 10 does not change the tag.
    number = BASE | index << 1
    slots = {"0": number, "1": number ^ 1, "=": number ^ 0x401, "?": number ^ 0x802}
    assert len({tag(slots[slot]) for slot in "0=?"}) == 1
    assert tag(slots["1"]) != tag(slots["0"])
    return {slot: HostSlot(page * PAGE, page * PAGE) for slot, page in slots.items()}


def make_page_tables(mapper: Mapper, spare: int) -> None:
    """Make page tables in a PV mapper for the page slots, and for `spare` spare pages."""
    places = [BASE * PAGE + table * REGION for table in range(8)]
    places += range(SPARE, SPARE + spare * PAGE, REGION)
    mapper.do(Step(REACH, (place,)) for place in places)


def entry_slots(mapper: Mapper, count: int) -> list[dict[str, HostSlot]]:
    """Return the slots of `count` sequences at page table entries."""
    addresses = [ENTRIES + page * PAGE for page in range(TABLES * 512)]
    by_tag: dict[int, list[HostSlot]] = defaultdict(list)
    for start in range(0, len(addresses), STEPS_MAX):
        part = addresses[start : start + STEPS_MAX]
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
        assert alike, f"equal tags exist for {len(slots)} sequences only"
    return slots[:count]
