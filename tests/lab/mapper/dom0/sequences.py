"""Sequences of maps and unmaps of one reference, all that matter.

A mapping is written as its flags: d(evice), h(ost), r(eadonly), a(pplication), p (h at a page table
entry, GNTMAP_contains_pte). A slot says where a host mapping goes: two of the same tag, `0` and
`=`, one of another, `1`, and one where nothing is ever mapped, `?`, of the tag of `0`. A sequence
is a tuple of stages; every sequence has a reference of its own.
"""

from collections.abc import Iterator, Sequence
from itertools import permutations, product
from typing import NamedTuple


class Map(NamedTuple):
    """Map the reference; the mapping is known by its place among the maps."""

    flags: str
    slot: str


class Unmap(NamedTuple):
    """Unmap a mapping, or a part of it.

    Args:
        index: of the map whose handle is given.
        host: a slot's letter, `own`, or `none`.
        device: `own`, `none` or `wrong`.
        by: `unmap`, or `replace` for GNTTABOP_unmap_and_replace (`device` counts for nothing).
    """

    index: int
    host: str = "own"
    device: str = "own"
    by: str = "unmap"


Stage = Map | Unmap

PV = (
    *("d", "dr", "h", "hr", "ha", "har", "p", "pr", "pa", "par"),
    *("dh", "dhr", "dha", "dhar", "dp", "dpr", "dpa", "dpar"),
)
#: Xen refuses it an application map
PVH = ("h", "hr")
#: enough of them where there are three or more, or parts
FEW = {"pv": ("d", "dr", "h", "hr", "p", "dh"), "pvh": PVH}
ALL = {"pv": PV, "pvh": PVH}


def is_host(flags: str) -> bool:
    return "h" in flags or "p" in flags


def name(stages: Sequence[Stage]) -> str:
    """A sequence in a line."""
    words = []
    for stage in stages:
        if isinstance(stage, Map):
            words.append(f"map {stage.flags}@{stage.slot}" if stage.slot else f"map {stage.flags}")
        else:
            words.append(f"{stage.by} {stage.index} host={stage.host} device={stage.device}")
    return ", ".join(words)


def maps(flags: Sequence[str], equal: bool) -> tuple[Map, ...]:
    """Mappings at slots of their own; the second at one of the first's tag, or of another."""
    slots = "0=1" if equal else "01="
    return tuple(
        Map(flag, slot if is_host(flag) else "") for flag, slot in zip(flags, slots, strict=False)
    )


def relations(flags: Sequence[str]) -> tuple[bool, ...]:
    """Whether addresses can have equal tags: only those of two or more host mappings."""
    return (False, True) if sum(map(is_host, flags)) > 1 else (False,)


def orders(kind: str) -> Iterator[tuple[Stage, ...]]:
    """Two mappings in all combinations, three of some, unmapped in every order."""
    for flags in [*product(ALL[kind], repeat=2), *product(FEW[kind], repeat=3)]:
        for equal in relations(flags):
            for order in permutations(range(len(flags))):
                yield maps(flags, equal) + tuple(Unmap(index) for index in order)


def parts(kind: str) -> Iterator[tuple[Stage, ...]]:
    """Two mappings, unmapped part by part: device and host in hypercalls of their own."""
    for flags in product([*FEW[kind], "dhr"] if kind == "pv" else FEW[kind], repeat=2):
        pieces = []
        for index, flag in enumerate(flags):
            pieces += [Unmap(index, device="none")] if is_host(flag) else []
            pieces += [Unmap(index, host="none")] if "d" in flag else []
        if len(pieces) > 2:
            for equal in relations(flags):
                for order in permutations(pieces):
                    yield maps(flags, equal) + order


def again(kind: str) -> Iterator[tuple[Stage, ...]]:
    """A mapping made where another has just gone, beside one that stays."""
    for flags in product(FEW[kind], repeat=3):
        for gone in (0, 1):
            # A page's slot and a page table entry's are never the same.
            where = "01"[gone] if ("p" in flags[gone]) == ("p" in flags[2]) else "="
            yield (
                *maps(flags[:2], equal=False),
                Unmap(gone),
                Map(flags[2], where if is_host(flags[2]) else ""),
                Unmap(2),
                Unmap(1 - gone),
            )


def wrong(kind: str) -> Iterator[tuple[Stage, ...]]:
    """Host and device addresses that are not the mapping's, beside none and one other mapping.

    What is left is unmapped as it should be afterwards; a mapping unmapped twice is in it too.
    """
    for flag in ALL[kind]:
        made = maps((flag,), equal=False)
        for host, device in product(("?", "1", "none", "own"), ("own", "none", "wrong")):
            yield (*made, Unmap(0, host, device), Unmap(0), Unmap(0))
    for flags in product(FEW[kind], repeat=2):
        for equal in relations(flags):
            made = maps(flags, equal)
            for index, host in product((0, 1), ("?", "0", "1", "=", "none")):
                yield (*made, Unmap(index, host), Unmap(0), Unmap(1), Unmap(0))


def replaced(kind: str) -> Iterator[tuple[Stage, ...]]:
    """GNTTABOP_unmap_and_replace of one of two."""
    if kind == "pv":
        for flags in product(("h", "hr", "d", "dh"), ("h", "hr", "d")):
            for index, first in product((0, 1), (True, False)):
                rest = Unmap(1 - index)
                turn = Unmap(index, by="replace")
                yield (*maps(flags, equal=False), *((turn, rest) if first else (rest, turn)))


FAMILIES = {
    "orders": orders,
    "parts": parts,
    "again": again,
    "wrong": wrong,
    "replaced": replaced,
}
