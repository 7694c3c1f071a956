"""What a program did between two points, out of valgrind's traces of it.

lackey tells each access, and each instruction; but of two conditions joined by `&&` valgrind may
look at the second before the first is known, and lackey shows that.  callgrind counts what a CPU
executes: the same as one that is single-stepped.
"""

import mmap
import re
import subprocess
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lablib.trace.code import Code

from tests.patience import patient

LINE = 64
#: around each case, and what of a hypercall is Xen's: from its entry to where its caller goes on
MARKS = ("case_begin", "case_end")
ENTRY, CALLER = "do_grant_table_op", "operate"
#: what belongs to the vCPU alone: no matter of what is shared
OWN = {"stack", "program", "requests", "variables of the CPU"}


@dataclass
class Done:
    """What was executed."""

    calls: int = 0
    fences: Counter[str] = field(default_factory=Counter)
    #: read-modify-writes by what they were about
    atomic: Counter[str] = field(default_factory=Counter)
    #: lines by what is there
    touched: dict[str, set[int]] = field(default_factory=dict)
    written: dict[str, set[int]] = field(default_factory=dict)


class Places:
    """What is at an address; of several, what was named first."""

    def __init__(self, named: list[tuple[int, int, str]]) -> None:
        edges = sorted({edge for start, size, _ in named for edge in (start, start + size)})
        self.edges = edges
        self.names = [
            next((name for start, size, name in named if start <= edge < start + size), "")
            for edge in edges
        ]

    def at(self, address: int) -> str:
        name = self.names[bisect_right(self.edges, address) - 1]
        if not name:
            raise LookupError(f"nothing is known of {address:#x}")
        return name


class Program:
    """A program whose addresses are those it was linked to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.symbols: dict[str, list[range]] = {}
        for row in _output("nm", "--print-size", path).splitlines():
            if len(words := row.split()) == 4:
                start, size = int(words[0], 16), int(words[1], 16)
                self.symbols.setdefault(words[3], []).append(range(start, start + size))
        self.special: dict[int, str] = {}
        for instruction in Code(path).instructions.values():
            if special := instruction.fence or (instruction.locked and "locked"):
                self.special[instruction.address] = special

    def plain(self) -> str:
        """Run it by itself."""
        return _output(self.path)

    def traced(self, log: Path) -> str:
        """Run it; the trace goes into a file, what it says is returned."""
        tracer = ("valgrind", "--tool=lackey", "--trace-mem=yes", f"--log-file={log}")
        return _output(*tracer, self.path)

    def instructions(self, into: Path) -> list[int]:
        """Run it under callgrind: how many there are in the hypercalls of each case."""
        _output(
            *("valgrind", "--tool=callgrind", f"--callgrind-out-file={into / 'out'}"),
            *(f"--zero-before={MARKS[0]}", f"--dump-after={MARKS[1]}"),
            *(f"--toggle-collect={ENTRY}", self.path),
        )
        dumps = sorted(into.glob("out.*"), key=lambda dump: int(dump.suffix[1:]))
        totals = [re.search(r"^totals: (\d+)$", dump.read_text(), re.MULTILINE) for dump in dumps]
        return [int(total[1]) for total in totals if total]

    def cases(self, log: Path) -> Iterator[list[str]]:
        """The lines of a trace that are between the marks."""
        begin, end = (f"I  {self.symbols[mark][0].start:08x},".encode() for mark in MARKS)
        with log.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            at = text.find(begin)
            while at >= 0:
                until = text.find(end, at)
                yield text[at:until].decode().splitlines()
                at = text.find(begin, until)

    def done(self, lines: list[str], places: Places) -> Done:
        """Add up what the hypercalls of a case did."""
        entries = {each.start for each in self.symbols[ENTRY]}
        callers = set().union(*self.symbols[CALLER])
        done = Done()
        inside = False
        special = ""
        for line in lines:
            kind = line[:2].strip()
            address, size = int((words := line[3:].split(","))[0], 16), int(words[1])
            if kind == "I":
                if address in entries:
                    inside = True
                    done.calls += 1
                elif address in callers:
                    inside = False
                special = self.special.get(address, "") if inside else ""
                if special and special != "locked":
                    done.fences[special] += 1
            elif inside:
                name = places.at(address)
                if special == "locked" and kind in "SM":
                    # Nothing is shared in a stack: it is there to order what is around it.
                    done.atomic[name] += name != "stack"
                    done.fences["smp_mb"] += name == "stack"
                if name not in OWN:
                    covered = range(address // LINE, (address + size - 1) // LINE + 1)
                    done.touched.setdefault(name, set()).update(covered)
                    if kind in "SM":
                        done.written.setdefault(name, set()).update(covered)
        return done


def _output(*words: str | Path) -> str:
    return subprocess.run(
        words, capture_output=True, text=True, check=True, timeout=patient(600)
    ).stdout
