"""Which mappings are recorded in the granter's own entry, by the rules of the patched hypervisor.

The rules once more, written down apart from the hypervisor, so that a transcript of its handles
can be held against them.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

#: the toolstack's references, and those that a fast handle has no room for
FIRST, END = 8, 1 << 16


@dataclass
class Mapped:
    """A mapping that is live.

    Args:
        parts: `d`, `h`, or both.
        others: the flags that distinguish it otherwise; the avail bits do not.
        page: where its host address is, in pages.
        fast: whether it has one of its reference's two places.
    """

    gref: int
    parts: set[str]
    others: frozenset[str]
    page: int
    fast: bool

    @property
    def tag(self) -> int:
        return (self.page ^ self.page >> 10 ^ self.page >> 20) & 0x3FF


def admitted(there: Mapped, new: Mapped) -> bool:
    """Whether two mappings of a reference can be told apart, or need not be."""
    if there.parts != new.parts or len(new.parts) > 1:
        return False
    if there.others == new.others:
        return True
    return new.parts == {"h"} and there.tag != new.tag


class Table:
    """What is mapped, as a transcript tells it.

    Args:
        places: slot → page, of the script.
    """

    def __init__(self, places: dict[str, int]) -> None:
        self.places = places
        self.live: dict[str, Mapped] = {}

    def map(self, name: str, gref: int, flags: str, slot: str) -> bool:
        """Whether a mapping that succeeded has to be fast."""
        new = Mapped(
            gref,
            set(flags) & set("dh"),
            frozenset(flags) & frozenset("ra"),
            self.places.get(slot, 0),
            fast=False,
        )
        there = [old for old in self.live.values() if old.gref == gref and old.fast]
        new.fast = FIRST <= gref < END and (
            not there or (len(there) == 1 and admitted(there[0], new))
        )
        self.live[name] = new
        return new.fast

    def unmap(self, name: str, host: str, dev: str) -> None:
        gone = ("h" if host != "-" else "") + ("d" if dev != "-" else "")
        self.live[name].parts -= set(gone)
        if not self.live[name].parts:
            del self.live[name]


def differences(script: str, transcript: str) -> Iterator[str]:
    """Each mapping that is fast and should not be, or is not and should be."""
    places = dict(re.findall(r"^slot (\S+) (\d+)", script, re.MULTILINE))
    table = Table({slot: int(page) for slot, page in places.items()})
    counted: dict[str, int] = defaultdict(int)
    for line in transcript.splitlines():
        if made := re.match(r"map (\S+) \S+ (\S+) (\S+) (\S+) = 0 .*# (fast|slow)", line):
            fast = table.map(made[1], int(made[2], 0), made[3], made[4])
            counted[made[5]] += 1
            if fast != (made[5] == "fast"):
                yield f"{line}, and it should be {'fast' if fast else 'slow'}"
        elif (gone := re.match(r"unmap (\S+) (\S+) (\S+) = 0", line)) and gone[1] in table.live:
            table.unmap(gone[1], gone[2], gone[3])
        elif gone := re.match(r"replace (\S+) \S+ = 0", line):
            table.unmap(gone[1], "own", "-")
    if not counted:
        yield "nothing was mapped"
