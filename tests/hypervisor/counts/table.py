"""The counts as a page to read: each case per pair, and of some what the lines are of."""

import json
from collections.abc import Callable, Iterator

from tests.hypervisor.counts.measure import WIDE

SIDES = ("stock", "patched", "no-fast-maptrack")
CASES = [
    (batch, nth, how, iommu)
    for iommu in ("off", "strict")
    for how in ("device", "host")
    for nth in (1, 2, 3)
    for batch in (1, 32)
]
#: of which it is said what the lines are of
CLOSER = [(batch, 1, "device", iommu) for iommu in ("off", "strict") for batch in (1, 32)]
COLUMNS = (
    *("entry locks", "wide locks", "atomic", "smp_mb", "lfence", "instructions"),
    *("lines", "of these written"),
)

HEAD = """\
# What a map and an unmap take

Made from `counts.json`, which `test_counts.py` compares with what it counts; to make both anew:

    XENGT_WRITE_COUNTS=1 ./tests/run hypervisor -k counts

Each cell is of one pair, on **stock / patched / patched with `gnttab=no-fast-maptrack`**; with a
batch of 32, a 32nd of what two hypercalls take, one to map 32 references, one to unmap them.
Version 1 table, PV mapper, one vCPU, nobody else at work, nothing done for the first time.
*Mapping* 2 and 3 are of references that are mapped once and twice already.

- **entry locks**, **wide locks**: the active entry's, and those of which there is one for a domain
  or a vCPU: the tables' and those of the maptrack table. Counted where they are taken.
- **atomic**: read-modify-writes of anything but the stack; **smp_mb**: those of the stack, full
  barriers; **lfence**. One lfence for each lock is there only with `spec-ctrl=lock-harden`, which
  is not Xen's default.
- **instructions**: what callgrind counts, which is what a CPU executes. Of the real Xen they are in
  `patches/README.md`, and more: locks, page references and copies from guests are played by less.
  So their ratio there is not this one.
- **lines**: cache lines of 64 bytes of what belongs to Xen: not the vCPU's stack and per-CPU
  variables, not the requests, no constants. A line that several references of a batch are in is
  counted once. How many of the maptrack table it is depends on which entries are free.

All but the instructions are the same whichever compiler it is, and compared exactly. Instructions
may differ by {ratio} in their ratio to stock's; by {same} in themselves if the compiler is the one
of these: {compiler}.

Page tables, page references, the IOMMU, and how a domain is found, are not Xen's here. A page
reference is one atomic operation, as in Xen. `page_lock()`, which a host mapping takes, is a ticket
lock: one such operation where Xen has two. A domain and a vCPU are smaller than Xen's: what is in
one line of theirs may be in several. There are 8 CPUs: a writer of a table's lock reads each one's.
"""


def page(document: dict, *, ratio: str, same: str) -> str:
    """Render it all.

    Args:
        document: as in counts.json.
        ratio: by how much instructions may differ, in words.
        same: the same, with the same compiler.
    """
    cases = document["cases"]
    text = HEAD.format(ratio=ratio, same=same, compiler=document["compiler"])
    return text + "".join(
        f"\n{line}" if line.startswith("##") else line
        for line in (*_summary(cases), *(each for case in CLOSER for each in _closer(cases, case)))
    )


def text(document: dict) -> str:
    """Render counts.json: a case a line, so that a difference shows which it is."""
    rows = [f"  {json.dumps(case)}: {json.dumps(done)}" for case, done in document["cases"].items()]
    opening = f'{{\n "compiler": {json.dumps(document["compiler"])},\n "cases": {{\n'
    return opening + ",\n".join(rows) + "\n }\n}\n"


def name(side: str, case: tuple) -> str:
    batch, nth, how, iommu = case
    return f"{side}, batch {batch}, mapping {nth}, {how}, IOMMU {iommu}"


def totals(counted: dict) -> tuple[int, ...]:
    """In the order of COLUMNS."""
    locks, lines = counted["locks"], counted["lines"].values()
    return (
        locks.get("entry", 0),
        sum(locks.get(lock, 0) for lock in WIDE),
        sum(counted["atomic"].values()),
        counted["fences"].get("smp_mb", 0),
        counted["fences"].get("lfence", 0),
        counted["instructions"],
        sum(each["touched"] for each in lines),
        sum(each["written"] for each in lines),
    )


def _summary(cases: dict) -> Iterator[str]:
    for iommu in ("off", "strict"):
        yield f"## IOMMU {iommu}\n\n"
        yield from _row("mapping", "", "batch", *COLUMNS)
        yield from _row(*["---"] * (3 + len(COLUMNS)))
        for case in CASES:
            if case[3] == iommu:
                sides = [totals(cases[name(side, case)]) for side in SIDES]
                cells = (
                    " / ".join(_number(side[i] / case[0]) for side in sides)
                    for i in range(len(COLUMNS))
                )
                yield from _row(case[2], case[1], case[0], *cells)


def _closer(cases: dict, case: tuple) -> Iterator[str]:
    sides = [cases[name(side, case)] for side in SIDES]
    batch, nth, how, iommu = case
    yield f"## What all {batch} touch: {how}, mapping {nth}, IOMMU {iommu}\n\n"
    yield from _row("", "lines", "of these written", "atomic")
    yield from _row(*["---"] * 4)
    for what in sorted({what for side in sides for what in side["lines"]}):
        yield from _row(
            what,
            _three(sides, lambda side, what=what: side["lines"].get(what, {}).get("touched", 0)),
            _three(sides, lambda side, what=what: side["lines"].get(what, {}).get("written", 0)),
            _three(sides, lambda side, what=what: side["atomic"].get(what, 0)),
        )


def _three(sides: list[dict], value: Callable[[dict], int]) -> str:
    return " / ".join(str(value(side)) for side in sides)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _row(*cells: object) -> Iterator[str]:
    yield "| " + " | ".join(map(str, cells)) + " |\n"
