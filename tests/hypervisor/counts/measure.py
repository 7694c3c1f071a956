"""Each case counted, as a document."""

import re
from pathlib import Path

from tests.hypervisor.counts.valgrind import Places, Program

#: as enum lock_kind has them
LOCKS = (
    *("entry", "granter's table, read", "granter's table, write"),
    *("mapper's table, read", "mapper's table, write", "maptrack free list", "maptrack", "other"),
)
#: those of which there is one for a domain, or for a vCPU of it that others take as well
WIDE = LOCKS[1:]
#: one to map, one to unmap
CALLS = 2
CASE = re.compile(r"^case (.*)\nrecorded (.*)\n((?:lock \d+\n)*)", re.MULTILINE)
PLACE = re.compile(r"^place (\S+) (\S+) (.*)$", re.MULTILINE)


def locks_of(said: str) -> dict[str, dict[str, int]]:
    """From what the program says that is built with COUNT."""
    return {
        case[1]: {
            lock: int(taken)
            for lock, taken in zip(LOCKS, re.findall(r"\d+", case[3]), strict=True)
            if int(taken)
        }
        for case in CASE.finditer(said)
    }


def measured(counting: Program, traced: Program, scratch: Path) -> dict:
    """Count all cases.

    Args:
        counting: built with COUNT.
        traced: without, and otherwise the same.
        scratch: where the trace goes.
    """
    locks = locks_of(counting.plain())
    instructions = iter(traced.instructions(scratch))
    log = scratch / "trace"
    said = traced.traced(log)
    lines = traced.cases(log)
    document = {}
    # The cases of one world, then its places.
    for world in re.findall(r"(?:^(?!place ).*\n)+(?:^place .*\n)+", said, re.MULTILINE):
        named = [(int(a, 16), int(b, 16), what) for a, b, what in PLACE.findall(world)]
        places = Places(named)
        for case in CASE.finditer(world):
            done = traced.done(next(lines), places)
            assert done.calls == CALLS, case[1]
            document[case[1]] = {
                "recorded": case[2],
                "locks": locks[case[1]],
                "atomic": dict(sorted((+done.atomic).items())),
                "fences": dict(sorted((+done.fences).items())),
                "instructions": next(instructions),
                "lines": {
                    name: {"touched": len(touched), "written": len(done.written.get(name, ()))}
                    for name, touched in sorted(done.touched.items())
                },
            }
    return document
