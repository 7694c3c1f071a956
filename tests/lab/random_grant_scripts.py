"""Random scripts of grant operations, for semantics/script.c."""

import random
from dataclasses import dataclass

from tests.lab.grant_scripts import FAR, KINDS, SAME_TAG, VARIED


@dataclass
class Live:
    """A mapping of which a random script has not yet unmapped all parts."""

    name: str
    gref: int
    flags: str
    slot: int | None


class Caller:
    """A caller that chooses valid operations at random, and some that Xen refuses.

    It never passes the address of one mapping with the handle of another, and never uses a handle
    after its unmap while the reference is still mapped: Xen cannot tell two mappings with the
    same handle apart.

    Args:
        seed: seed of the random choices.
    """

    GREFS = (0, 3, 7, *range(8, 14), 700)
    READONLY = frozenset({7, 12, 13})
    PLACES = (*range(12), *(SAME_TAG * k for k in range(1, 9)), *(FAR * k for k in range(1, 4)))

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311
        self.free = list(range(len(self.PLACES)))
        self.live: list[Live] = []
        self.lines = ["granter g 2 16"]
        for page, gref in enumerate(self.GREFS):
            self.lines.append(f"grant g {gref} {page} {'ro' if gref in self.READONLY else 'rw'}")
        self.lines += [f"slot {slot} {page}" for slot, page in enumerate(self.PLACES)]

    def map(self, name: str) -> None:
        gref = self.chance.choice(self.GREFS)
        flags = self.chance.choice([*KINDS, *VARIED])
        slot = None
        if "h" in flags:
            if not self.free:
                return
            slot = self.free.pop(self.chance.randrange(len(self.free)))
        self.lines.append(f"map {name} g {gref} {flags} {'-' if slot is None else slot}")
        if gref not in self.READONLY or "r" in flags:
            self.live.append(Live(name, gref, flags, slot))
        elif slot is not None:
            self.free.append(slot)

    def unmap(self, mapping: Live) -> None:
        """Unmap all parts or one part; sometimes try a wrong address first."""
        has = [part for part in "hd" if part in mapping.flags]
        if "d" in has and self.chance.random() < 0.08:
            self.lines.append(f"unmap {mapping.name} {'own' if 'h' in has else '-'} wrong")
        taken = has if self.chance.random() < 0.6 else [self.chance.choice(has)]
        for part in taken:
            mapping.flags = mapping.flags.replace(part, "")
            if part == "h" and mapping.slot is not None:
                self.free.append(mapping.slot)
        host, dev = ("own" if part in taken else "-" for part in "hd")
        self.lines.append(f"unmap {mapping.name} {host} {dev}")
        if not set(mapping.flags) & set("hd"):
            self.live.remove(mapping)

    def unmap_some(self) -> None:
        self.lines.append("batch")
        for _ in range(self.chance.randint(2, 5)):
            if self.live:
                self.unmap(self.chance.choice(self.live))
        self.lines.append("commit")

    def unmap_one(self) -> None:
        mapping = self.chance.choice(self.live)
        if self.chance.random() < 0.08:
            self.lines.append(f"unmap {mapping.name} - -")
        self.unmap(mapping)
        known = any(other.gref == mapping.gref for other in self.live)
        if not known and self.chance.random() < 0.3:
            self.lines.append(f"unmap {mapping.name} own own")

    def act(self, number: int) -> None:
        if not self.live or (len(self.live) < 14 and self.chance.random() < 0.5):
            self.map(f"n{number}")
        elif self.chance.random() < 0.2:
            self.unmap_some()
        else:
            self.unmap_one()
        if self.chance.random() < 0.1:
            self.lines.append(f"seen {self.chance.randrange(len(self.PLACES))}")


def random_script(seed: int, steps: int) -> str:
    """Return a script of `steps` random steps that finally unmaps everything."""
    caller = Caller(seed)
    for number in range(steps):
        caller.act(number)
        if number % 60 == 59:
            caller.lines.append("pins")
    while caller.live:
        caller.unmap(caller.live[-1])
    return "\n".join([*caller.lines, "pins", "destroy g", "state g 5", ""])
