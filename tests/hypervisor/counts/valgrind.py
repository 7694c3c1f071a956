"""Counts what a program does between two marks, from traces of valgrind.

lackey reports each memory access and each instruction. But of two conditions joined by `&&`
valgrind may evaluate the second before the first is known, and lackey reports that too. Therefore
callgrind counts instructions: its counts are those of a CPU, as single-stepping confirms.
"""

import mmap
import re
import subprocess
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lablib.trace_code import Code

from tests.patience import patient

LINE = 64
#: functions called before and after each case; Xen's entry point, and its caller in the harness
MARKS = ("case_begin", "case_end")
ENTRY, CALLER = "do_grant_table_op", "operate"
#: memory private to the vCPU, which is not counted
PRIVATE = {"stack", "program", "requests", "variables of the CPU"}


@dataclass
class Counts:
    """Counts of one case.

    Attributes:
        calls: hypercalls.
        fences: by instruction.
        atomic: read-modify-writes by memory range.
        touched: cache lines accessed, by memory range.
        written: cache lines written, by memory range.
    """

    calls: int = 0
    fences: Counter[str] = field(default_factory=Counter)
    atomic: Counter[str] = field(default_factory=Counter)
    touched: dict[str, set[int]] = field(default_factory=dict)
    written: dict[str, set[int]] = field(default_factory=dict)


class MemoryRanges:
    """Names of memory ranges; where ranges overlap, the first one given counts."""

    def __init__(self, named: list[tuple[int, int, str]]) -> None:
        edges = sorted({edge for start, size, _ in named for edge in (start, start + size)})
        self.edges = edges
        self.names = [
            next((name for start, size, name in named if start <= edge < start + size), "")
            for edge in edges
        ]

    def name_at(self, address: int) -> str:
        name = self.names[bisect_right(self.edges, address) - 1]
        if not name:
            raise LookupError(f"address {address:#x} is in no known memory range")
        return name


class Program:
    """A program that is not position-independent, so its addresses are those of its symbols."""

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

    def run(self) -> str:
        """Run it without valgrind; return its output."""
        return _output(self.path)

    def run_lackey(self, log: Path) -> str:
        """Run it under lackey, with the trace in `log`; return its output."""
        tracer = ("valgrind", "--tool=lackey", "--trace-mem=yes", f"--log-file={log}")
        return _output(*tracer, self.path)

    def count_instructions(self, into: Path) -> list[int]:
        """Run it under callgrind; return the instructions in the hypercalls of each case."""
        _output(
            *("valgrind", "--tool=callgrind", f"--callgrind-out-file={into / 'out'}"),
            *(f"--zero-before={MARKS[0]}", f"--dump-after={MARKS[1]}"),
            *(f"--toggle-collect={ENTRY}", self.path),
        )
        dumps = sorted(into.glob("out.*"), key=lambda dump: int(dump.suffix[1:]))
        totals = [re.search(r"^totals: (\d+)$", dump.read_text(), re.MULTILINE) for dump in dumps]
        return [int(total[1]) for total in totals if total]

    def cases(self, log: Path) -> Iterator[list[str]]:
        """Yield the lines of a lackey trace between the marks, for each case."""
        begin, end = (f"I  {self.symbols[mark][0].start:08x},".encode() for mark in MARKS)
        with log.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            at = text.find(begin)
            while at >= 0:
                until = text.find(end, at)
                yield text[at:until].decode().splitlines()
                at = text.find(begin, until)

    def count(self, lines: list[str], ranges: MemoryRanges) -> Counts:
        """Return the counts of the hypercalls of a case.

        Raises:
            LookupError: an access is outside all memory ranges.
        """
        entries = {each.start for each in self.symbols[ENTRY]}
        callers = set().union(*self.symbols[CALLER])
        counts = Counts()
        inside = False
        special = ""
        for line in lines:
            kind = line[:2].strip()
            address, size = int((words := line[3:].split(","))[0], 16), int(words[1])
            if kind == "I":
                if address in entries:
                    inside = True
                    counts.calls += 1
                elif address in callers:
                    inside = False
                special = self.special.get(address, "") if inside else ""
                if special and special != "locked":
                    counts.fences[special] += 1
            elif inside:
                name = ranges.name_at(address)
                if special == "locked" and kind in "SM":
                    # A locked operation on the stack is a memory barrier.
                    counts.atomic[name] += name != "stack"
                    counts.fences["smp_mb"] += name == "stack"
                if name not in PRIVATE:
                    touched = range(address // LINE, (address + size - 1) // LINE + 1)
                    counts.touched.setdefault(name, set()).update(touched)
                    if kind in "SM":
                        counts.written.setdefault(name, set()).update(touched)
        return counts


def _output(*words: str | Path) -> str:
    return subprocess.run(
        words, capture_output=True, text=True, check=True, timeout=patient(600)
    ).stdout
