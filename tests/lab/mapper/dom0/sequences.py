"""Families of sequences of maps and unmaps of one reference.

A mapping is described by its flags: d(evice), h(ost), r(eadonly), a(pplication), p (host mapping at
a page table entry, GNTMAP_contains_pte). A slot is a place for a host mapping: `0` and `=` have the
same tag, `1` has another one, and `?` has the tag of `0` but is never mapped. A sequence is a tuple
of stages and uses its own reference.
"""

from collections.abc import Iterator, Sequence
from itertools import permutations, product
from typing import NamedTuple


class Map(NamedTuple):
    """Map the reference; later stages refer to the mapping by its index among the maps."""

    flags: str
    slot: str


class Unmap(NamedTuple):
    """Unmap a mapping, or a part of it.

    Args:
        index: index of the map whose handle is passed.
        host: host address: a slot, `own`, or `none`.
        device: bus address: `own`, `none` or `wrong`.
        by: `unmap`, or `replace` for GNTTABOP_unmap_and_replace, which ignores `device`.
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
#: Xen refuses application maps of PVH guests
PVH = ("h", "hr")
#: a subset for sequences of three mappings, or of parts
FEW = {"pv": ("d", "dr", "h", "hr", "p", "dh"), "pvh": PVH}
ALL = {"pv": PV, "pvh": PVH}


def is_host(flags: str) -> bool:
    return "h" in flags or "p" in flags


def name(stages: Sequence[Stage]) -> str:
    """Return a description of a sequence in one line."""
    words = []
    for stage in stages:
        if isinstance(stage, Map):
            words.append(f"map {stage.flags}@{stage.slot}" if stage.slot else f"map {stage.flags}")
        else:
            words.append(f"{stage.by} {stage.index} host={stage.host} device={stage.device}")
    return ", ".join(words)


def maps(flags: Sequence[str], equal: bool) -> tuple[Map, ...]:
    """Return maps at different slots; `equal`: the second slot has the tag of the first."""
    slots = "0=1" if equal else "01="
    return tuple(
        Map(flag, slot if is_host(flag) else "") for flag, slot in zip(flags, slots, strict=False)
    )


def relations(flags: Sequence[str]) -> tuple[bool, ...]:
    """Return the values of `equal` that matter: both only with two or more host mappings."""
    return (False, True) if sum(map(is_host, flags)) > 1 else (False,)


def orders(kind: str) -> Iterator[tuple[Stage, ...]]:
    """Two mappings in all combinations, and three in some, unmapped in every order."""
    for flags in [*product(ALL[kind], repeat=2), *product(FEW[kind], repeat=3)]:
        for equal in relations(flags):
            for order in permutations(range(len(flags))):
                yield maps(flags, equal) + tuple(Unmap(index) for index in order)


def parts(kind: str) -> Iterator[tuple[Stage, ...]]:
    """Two mappings, whose device and host parts are unmapped by separate hypercalls."""
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
    """A mapping made where another was just unmapped, next to a live one."""
    for flags in product(FEW[kind], repeat=3):
        for gone in (0, 1):
            # Pages and page table entries use different slots.
            where = "01"[gone] if ("p" in flags[gone]) == ("p" in flags[2]) else "="
            yield (
                *maps(flags[:2], equal=False),
                Unmap(gone),
                Map(flags[2], where if is_host(flags[2]) else ""),
                Unmap(2),
                Unmap(1 - gone),
            )


def wrong(kind: str) -> Iterator[tuple[Stage, ...]]:
    """Unmaps with wrong host and bus addresses, alone and next to another mapping.

    The sequences then unmap the rest correctly, and one mapping twice.
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
    """GNTTABOP_unmap_and_replace of one of two mappings."""
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
