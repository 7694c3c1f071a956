"""Scripts of grant operations, for semantics/script.c."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

#: Flags of the mappings that dom0 can make. The two host mappings that Linux makes per gntdev page
#: differ only in flags that no pin counter depends on.
KINDS = ("d", "dr", "h", "hr", "dh", "dhr")
VARIED = ("h", "ha", "ha0", "hr", "hra1", "dha2")
FIRST_GREF = 8
#: distance in pages of addresses with the same tag, the few address bits that Xen stores
SAME_TAG = (1 << 10) + 1
#: distance in pages of addresses with the same index in page tables four apart
FAR = 1 << 11

#: the commands of one step of a case
Stage = Sequence[str]


@dataclass(frozen=True)
class Case:
    """Operations on one reference, in stages that alternate with those of other cases.

    Args:
        mapped: flags of the mappings, in the order in which they are made.
        stages: the commands of each following stage; `{0}` is the name of the first mapping.
        apart: distance of the host addresses in pages.
        readonly: whether the granter permits only reading.
    """

    mapped: Sequence[str]
    stages: Sequence[Stage]
    apart: int = 1
    readonly: bool = False


def unmap_whole(which: int) -> str:
    return f"unmap {{{which}}} own own"


def unmap_parts(flags: str, which: int, first: str) -> list[str]:
    """Unmap the parts of a mapping separately, starting with `h` or `d`."""
    by_part = {"h": f"unmap {{{which}}} own -", "d": f"unmap {{{which}}} - own"}
    order = "hd" if first == "h" else "dh"
    return [by_part[part] for part in order if part in flags]


def pairs(kinds: Sequence[str], apart: int) -> Iterator[Case]:
    """All pairs of mappings of one reference, each unmapped whole, in both orders."""
    for flags in itertools.product(kinds, repeat=2):
        for order in ((0, 1), (1, 0)):
            yield Case(flags, [[unmap_whole(which)] for which in order], apart)


def partial_pairs(apart: int) -> Iterator[Case]:
    """Two mappings whose parts are unmapped separately."""
    for flags in itertools.product(("d", "h", "dh", "dhr"), repeat=2):
        if not any(len(kind.strip("r")) > 1 for kind in flags):
            continue
        for first, order in itertools.product("hd", ((0, 1), (1, 0))):
            steps = [unmap_parts(flags[which], which, first) for which in order]
            yield Case(flags, [[step] for step in itertools.chain(*steps)], apart)
            mixed = [step for both in itertools.zip_longest(*steps) for step in both if step]
            yield Case(flags, [[step] for step in mixed], apart)


def partly_then_whole(apart: int) -> Iterator[Case]:
    """A part of one mapping, then the whole other one, then the rest."""
    for flags in itertools.product(("dh", "dhr", "d", "h"), ("dh", "dhr")):
        for part, rest in (("own -", "- own"), ("- own", "own -")):
            yield Case(
                flags, [[f"unmap {{1}} {part}"], [unmap_whole(0)], [f"unmap {{1}} {rest}"]], apart
            )
            yield Case(
                flags, [[f"unmap {{1}} {part}"], [f"unmap {{1}} {rest}"], [unmap_whole(0)]], apart
            )


def triples(apart: int) -> Iterator[Case]:
    """Three mappings unmapped in all orders; a fourth one is made after the first unmap."""
    for flags in (("d", "d", "d"), ("d", "h", "hr"), ("dh", "dh", "dh"), ("h", "dr", "dhr")):
        for order in itertools.permutations(range(3)):
            again = f"map {{3}} {{gref}} {flags[order[0]]} {{slot3}}"
            stages = [
                [unmap_whole(order[0])],
                [again],
                *([unmap_whole(which)] for which in (*order[1:], 3)),
            ]
            yield Case(flags, stages, apart)


def batches(apart: int) -> Iterator[Case]:
    """Several unmaps of the same reference in one hypercall, which drops the pins at its end."""
    for flags in (("dh", "d"), ("h", "hr"), ("d", "d"), ("dhr", "h"), ("h", "h")):
        yield Case(flags, [["batch", unmap_whole(0), unmap_whole(1), "commit"]], apart)
        yield Case(flags, [["batch", unmap_whole(1), unmap_whole(0), "commit"]], apart)
        split = [*unmap_parts(flags[0], 0, "d"), unmap_whole(1)]
        yield Case(flags, [["batch", *split, "commit"]], apart)
        # The same mapping twice: Xen refuses the second operation in its first pass.
        yield Case(flags[:1], [["batch", unmap_whole(0), unmap_whole(0), "commit"]], apart)


def refusals(apart: int) -> Iterator[Case]:
    """Operations that stock Xen refuses or ignores, and the mappings that remain."""
    nothing = ["unmap {0} - -", "unmap {1} - -"]
    for flags in (("dh", "dh"), ("d", "h"), ("dr", "hr"), ("dhr", "dh")):
        wrong = [f"unmap {{{which}}} own wrong" for which in (0, 1) if "d" in flags[which]]
        yield Case(flags, [nothing, wrong, [unmap_whole(0), unmap_whole(1), unmap_whole(1)]], apart)
    for flags in ("d", "dr", "dh", "dhr"):
        yield Case(
            [flags], [["unmap {0} - wrong"], ["unmap {0} own wrong"], [unmap_whole(0)]], apart
        )
    # An address at which the reference is not mapped.
    for flags in ("h", "hr", "dh", "dhr"):
        elsewhere = "unmap {0} {slot1} own"
        yield Case([flags], [[elsewhere], [unmap_whole(0)], [unmap_whole(0)]], apart)
    for mapped in (["d"], ["h"], ["dh", "dr"], ["dr", "hr"], ["dr", "h", "hr"], ["-"]):
        stages = [[unmap_whole(which) for which in range(len(mapped)) if "r" in mapped[which]]]
        yield Case(mapped, stages, apart, readonly=True)


def other_operations(apart: int) -> Iterator[Case]:
    """GNTTABOP_unmap_and_replace, copy and cache_flush on mapped references."""
    for flags in (["h"], ["hr", "d"], ["h", "h"], ["dh"], ["d", "h"], ["d"]):
        host = next((which for which, kind in enumerate(flags) if "h" in kind), 0)
        rest = [[unmap_whole(which)] for which in range(len(flags)) if which != host]
        rest += [[f"unmap {{{host}}} - own"]] if "d" in flags[host] else []
        yield Case(flags, [[f"replace {{{host}}} {{slot1}}"], *rest], apart)
    for flags in (["d"], ["dr"], ["h", "h"], ["hr", "d"]):
        back = [[unmap_whole(which)] for which in range(len(flags))]
        copies = ["copy g {ref} g {next} 4096", "copy g {next} g {ref} 64", "flush {0}"]
        yield Case(flags, [copies, *back, copies[:2]], apart)


def side_by_side(cases: Iterable[Case], prologue: Sequence[str] = ()) -> str:
    """Return one script of all cases, each with its own reference and addresses.

    After each stage of all cases, the script prints Xen's active entries and tests each address.
    """
    listed = list(cases)
    lines = [f"granter g 1 {len(listed)}", *prologue]
    steps: list[list[str]] = []
    slots = 0
    for number, case in enumerate(listed):
        gref = FIRST_GREF + number
        lines.append(f"grant g {gref} {number} {'ro' if case.readonly else 'rw'}")
        names = [f"m{number}.{which}" for which in range(4)]
        own = []
        for which in range(len(case.mapped) + 1):
            page = number * 4 + which * case.apart
            lines.append(f"slot {slots} {page}")
            own.append(slots)
            slots += 1
        words = {"gref": f"g {gref}", "slot1": str(own[-1]), "slot3": str(own[-1])}
        words |= {"ref": str(gref), "next": str(FIRST_GREF + (number + 1) % len(listed))}
        made = [
            f"map {names[which]} g {gref} {flags} {own[which] if 'h' in flags else '-'}"
            for which, flags in enumerate(case.mapped)
        ]
        done = [[part.format(*names, **words) for part in stage] for stage in case.stages]
        for place, stage in enumerate([made, *done]):
            steps += [[]] if place == len(steps) else []
            steps[place] += [*stage, *(f"seen {slot}" for slot in own)]
    for step in steps:
        lines += [*step, "pins"]
    return "\n".join([*lines, "destroy g", "state g 5", ""])


#: a granter that dies while two of its pages are mapped: mapped references can be mapped again
DEATH = """
granter g 1 4
grant g 8 0 rw
grant g 9 1 rw
grant g 10 2 rw
slot 0 0
slot 1 1
map a g 8 d -
map b g 8 d -
map c g 9 h 0
map e g 9 h 1
pins
destroy g
state g 1
seen 0
map f g 10 d -
map f g 8 d -
unmap a - own
unmap c own -
state g 0.5
unmap e own -
seen 0
seen 1
unmap b - own
state g 0.5
unmap f - own
state g 5
unmap f - own
"""


def scripts_of(cases: Iterable[Case], count: int) -> Iterator[str]:
    """Yield scripts of `count` cases each."""
    listed = list(cases)
    for start in range(0, len(listed), count):
        yield side_by_side(listed[start : start + count])
