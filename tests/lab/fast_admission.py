"""Which mappings the patched hypervisor must record in the granter's active entry ("fast").

An independent implementation of the rules, to check the handles in a transcript.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

#: references from FIRST up to END can be fast: lower ones are the toolstack's, and a fast handle
#: has no bits for higher ones
FIRST, END = 8, 1 << 16


@dataclass
class Mapped:
    """A live mapping.

    Args:
        parts: `d`, `h`, or both.
        others: `r` and `a` flags, which also distinguish it (the avail bits do not).
        page: page number of its host address.
        fast: whether it occupies one of the two slots of its reference.
    """

    gref: int
    parts: set[str]
    others: frozenset[str]
    page: int
    fast: bool

    @property
    def tag(self) -> int:
        return (self.page ^ self.page >> 10 ^ self.page >> 20) & 0x3FF


def can_share_entry(existing: Mapped, new: Mapped) -> bool:
    """Return whether two mappings of a reference can share its entry.

    They can if an unmap can distinguish them, or need not.
    """
    if existing.parts != new.parts or len(new.parts) > 1:
        return False
    if existing.others == new.others:
        return True
    return new.parts == {"h"} and existing.tag != new.tag


class Table:
    """The live mappings, followed through a transcript.

    Args:
        places: slot of the script → page number.
    """

    def __init__(self, places: dict[str, int]) -> None:
        self.places = places
        self.live: dict[str, Mapped] = {}

    def map(self, name: str, gref: int, flags: str, slot: str) -> bool:
        """Record a successful mapping; returns whether it must be fast."""
        new = Mapped(
            gref,
            set(flags) & set("dh"),
            frozenset(flags) & frozenset("ra"),
            self.places.get(slot, 0),
            fast=False,
        )
        existing = [old for old in self.live.values() if old.gref == gref and old.fast]
        new.fast = FIRST <= gref < END and (
            not existing or (len(existing) == 1 and can_share_entry(existing[0], new))
        )
        self.live[name] = new
        return new.fast

    def unmap(self, name: str, host: str, dev: str) -> None:
        unmapped = ("h" if host != "-" else "") + ("d" if dev != "-" else "")
        self.live[name].parts -= set(unmapped)
        if not self.live[name].parts:
            del self.live[name]


def admission_errors(script: str, transcript: str) -> Iterator[str]:
    """Yield a message for each mapping that is fast and must not be, or the reverse."""
    places = dict(re.findall(r"^slot (\S+) (\d+)", script, re.MULTILINE))
    table = Table({slot: int(page) for slot, page in places.items()})
    counted: dict[str, int] = defaultdict(int)
    for line in transcript.splitlines():
        if mapped := re.match(r"map (\S+) \S+ (\S+) (\S+) (\S+) = 0 .*# (fast|slow)", line):
            fast = table.map(mapped[1], int(mapped[2], 0), mapped[3], mapped[4])
            counted[mapped[5]] += 1
            if fast != (mapped[5] == "fast"):
                yield f"{line}: expected {'fast' if fast else 'slow'}"
        elif unmapped := re.match(r"unmap (\S+) (\S+) (\S+) = 0", line):
            if unmapped[1] in table.live:
                table.unmap(unmapped[1], unmapped[2], unmapped[3])
        elif unmapped := re.match(r"replace (\S+) \S+ = 0", line):
            table.unmap(unmapped[1], "own", "-")
    if not counted:
        yield "the transcript has no successful map"
