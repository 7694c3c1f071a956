"""Runs the counting programs; returns the counts of each case as a document."""

import re
from pathlib import Path

from tests.hypervisor.counts.valgrind import MemoryRanges, Program

#: names of enum lock_kind (harness/hypervisor.h)
LOCKS = (
    *("entry", "granter's table, read", "granter's table, write"),
    *("mapper's table, read", "mapper's table, write", "maptrack free list", "maptrack", "other"),
)
#: locks of a whole domain, or of a vCPU if other vCPUs take them as well
WIDE = LOCKS[1:]
#: hypercalls per case: map and unmap
CALLS = 2
CASE = re.compile(r"^case (.*)\nrecorded (.*)\n((?:lock \d+\n)*)", re.MULTILINE)
RANGE = re.compile(r"^place (\S+) (\S+) (.*)$", re.MULTILINE)


def locks_by_case(output: str) -> dict[str, dict[str, int]]:
    """Return the numbers of acquired locks from the output of a program built with COUNT."""
    return {
        case[1]: {
            lock: int(taken)
            for lock, taken in zip(LOCKS, re.findall(r"\d+", case[3]), strict=True)
            if int(taken)
        }
        for case in CASE.finditer(output)
    }


def measure(counting: Program, traced: Program, scratch: Path) -> dict:
    """Return the counts of all cases.

    Args:
        counting: program built with COUNT, for the locks.
        traced: the same program without COUNT, for everything else.
        scratch: directory for the trace.
    """
    locks = locks_by_case(counting.run())
    instructions = iter(traced.count_instructions(scratch))
    log = scratch / "trace"
    output = traced.run_lackey(log)
    traces = traced.cases(log)
    document = {}
    # The output has the cases of a world, then its memory ranges.
    for world in re.findall(r"(?:^(?!place ).*\n)+(?:^place .*\n)+", output, re.MULTILINE):
        named = [(int(a, 16), int(b, 16), what) for a, b, what in RANGE.findall(world)]
        ranges = MemoryRanges(named)
        for case in CASE.finditer(world):
            counts = traced.count(next(traces), ranges)
            assert counts.calls == CALLS, case[1]
            document[case[1]] = {
                "recorded": case[2],
                "locks": locks[case[1]],
                "atomic": dict(sorted((+counts.atomic).items())),
                "fences": dict(sorted((+counts.fences).items())),
                "instructions": next(instructions),
                "lines": {
                    name: {"touched": len(touched), "written": len(counts.written.get(name, ()))}
                    for name, touched in sorted(counts.touched.items())
                },
            }
    return document
