"""Renders counts.json and counts.md."""

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
#: cases for which counts.md lists the cache lines by memory range
DETAILED_CASES = [(batch, 1, "device", iommu) for iommu in ("off", "strict") for batch in (1, 32)]
COLUMNS = (
    *("entry locks", "wide locks", "atomic", "smp_mb", "lfence", "instructions"),
    *("lines", "of these written"),
)

HEAD = """\
# Cost of a map/unmap pair, counted in user space

Generated from `counts.json`, which `test_counts.py` compares with new counts. To regenerate both:

    XENGT_WRITE_COUNTS=1 ./tests/run hypervisor -k counts

Each cell is for one pair, on **stock / patched / patched with `gnttab=no-fast-maptrack`**. With a
batch of 32 it is 1/32 of two hypercalls, one that maps 32 references and one that unmaps them.
Version 1 table, PV mapper, one vCPU, no concurrent operations, after a warm-up. *Mapping* 2 and
3: the references are already mapped once or twice.

- **entry locks**: locks of active entries; **wide locks**: locks that exist once per domain or
  vCPU, those of the grant table and the maptrack table. Counted where they are acquired.
- **atomic**: read-modify-writes of anything but the stack; **smp_mb**: those of the stack, which
  are full barriers; **lfence**: one per lock is there only with `spec-ctrl=lock-harden`, which is
  not Xen's default.
- **instructions**: counted by callgrind, equal to what a CPU executes. `patches/README.md` has
  those of the real Xen, which are more, as the harness has simpler locks, page references and
  copies from guests. The ratios therefore differ, too.
- **lines**: cache lines of 64 bytes of Xen's memory, without the vCPU's stack and per-CPU
  variables, the requests and constants. A line shared by several references of a batch counts
  once. The number of maptrack lines depends on which entries are free.

All counts but the instructions are independent of the compiler and compared exactly. Instructions
may differ by {ratio} in their ratio to stock, and by {same} in number if the compiler is the one
of these counts: {compiler}.

Page tables, page references, the IOMMU and the lookup of domains are the harness's, not Xen's. A
page reference is one atomic operation, as in Xen. `page_lock()`, which a host mapping takes, is a
ticket lock with one atomic operation, where Xen has two. Domains and vCPUs are smaller than in
Xen, so their fields share more cache lines. There are 8 CPUs; the writer of a table lock reads a
line of each.
"""


def page(document: dict, *, ratio: str, same: str) -> str:
    """Render counts.md.

    Args:
        document: the content of counts.json.
        ratio: permitted difference of instruction ratios, for the text.
        same: permitted relative difference of instructions with the same compiler, for the text.
    """
    cases = document["cases"]
    text = HEAD.format(ratio=ratio, same=same, compiler=document["compiler"])
    return text + "".join(
        f"\n{line}" if line.startswith("##") else line
        for line in (
            *_summary(cases),
            *(each for case in DETAILED_CASES for each in _lines_by_range(cases, case)),
        )
    )


def text(document: dict) -> str:
    """Render counts.json, with one line per case for readable diffs."""
    rows = [f"  {json.dumps(case)}: {json.dumps(done)}" for case, done in document["cases"].items()]
    opening = f'{{\n "compiler": {json.dumps(document["compiler"])},\n "cases": {{\n'
    return opening + ",\n".join(rows) + "\n }\n}\n"


def name(side: str, case: tuple) -> str:
    batch, nth, how, iommu = case
    return f"{side}, batch {batch}, mapping {nth}, {how}, IOMMU {iommu}"


def totals(counted: dict) -> tuple[int, ...]:
    """Return the totals of a case in the order of COLUMNS."""
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


def _lines_by_range(cases: dict, case: tuple) -> Iterator[str]:
    sides = [cases[name(side, case)] for side in SIDES]
    batch, nth, how, iommu = case
    yield f"## Cache lines of a batch of {batch}: {how}, mapping {nth}, IOMMU {iommu}\n\n"
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
