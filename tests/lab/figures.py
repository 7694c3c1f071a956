"""What stock and patched Xen are held to, measured in instructions on a lab that is up."""

import functools
import json
import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lablib import record
from lablib.monitor import Monitor
from lablib.trace import capture, command, cut
from lablib.trace.code import Code

from tests.lab.mapper.build import build
from tests.lab.reach import LAB, Dom0

HELD = 100_000
GRANTERS = (1, 64)
#: as many as several preemption checks need, and as few as a trace has time for
TRACED = 3_200
RELEASE = "gnttab_release_mappings"
#: in the source's hypercall_preempt_check(), and nowhere else in what releases mappings
CHECK = "local_events_need_delivery"
#: instructions; a check is some of these, with others in between
WITHIN = 16


@functools.cache
def _built() -> tempfile.TemporaryDirectory[str]:
    made = tempfile.TemporaryDirectory(prefix="xengt-mapper-")
    build(Path(made.name))
    return made


def put_mapper(lab: Dom0) -> None:
    """Copy the mapper, and what starts it, into dom0."""
    lab.put(Path(_built().name) / "mapper")


@dataclass(frozen=True)
class Pair:
    """Instructions of one map and one unmap, p50, without the floor of each."""

    map: float
    unmap: float

    @property
    def both(self) -> float:
        return self.map + self.unmap


@dataclass(frozen=True)
class Held:
    """A mapper with mappings, two a reference.

    Attributes:
        mappings: it had.
        pages: of Xen's memory that they took.
        usage: what hypfs told of it; None on stock.
        end: instructions until `xc_domain_destroy` was done with it.
    """

    mappings: int
    pages: int
    usage: dict[str, int] | None
    end: int


def pairs(lab: Dom0, *plan: str, by: tuple[str, str]) -> dict[tuple[int, int], Pair]:
    """Measure a plan; by the two of its options that are varied."""
    net: dict[tuple[int, int], dict[str, float]] = {}
    for result in lab.bench(*plan, timeout=600)["results"]:
        case = net.setdefault((result[by[0]], result[by[1]]), {})
        case[result["operation"]] = result["latency_ns"]["p50"] - result["floor_ns"]
    return {key: Pair(**case) for key, case in net.items()}


def _command(lab: Dom0, mappings: int, granters: int) -> list[str | Path]:
    line = f"PYTHONPATH=/root/mapper python3 /root/dom0/hold_and_destroy.py {mappings} {granters}"
    return [LAB, "ssh", "--name", lab.name, "--timeout", "500", "--", line]


def held(lab: Dom0, mappings: int, granters: int) -> Held:
    """Have a mapper hold mappings, and destroy it; `put_mapper` comes first."""
    words = _command(lab, mappings, granters)
    done = subprocess.run(words, input="go\n", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told, end = (json.loads(line) for line in done.stdout.splitlines())
    return Held(told.get("held", 0), told.get("pages", 0), told.get("usage"), end["ns"])


def syms(lab: Dom0) -> Path:
    """The xen-syms of what a lab boots."""
    found = record.load(lab.name)
    assert found is not None
    return command.find_symbols_of_lab(found.hypervisor)


def stretches(lab: Dom0, mappings: int, granters: int) -> list[int]:
    """Instructions from one preemption check to the next, of all that releasing mappings does.

    Also from where it begins to the first check, and from the last one to where it ends.
    `put_mapper` comes first.
    """
    with tempfile.TemporaryDirectory() as place:
        log, text = Path(place) / "log", Path(place) / "text"
        os.mkfifo(log)
        calls: list[tuple[int, ...]] = []
        with Monitor(record.directory(lab.name) / "monitor") as monitor:
            command.save_text_section(monitor, Code(syms(lab)), text)
            code = Code(syms(lab), text)
            reader = threading.Thread(target=lambda: calls.extend(_calls(code, log)))
            with subprocess.Popen(
                _command(lab, mappings, granters),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ) as holder:
                assert holder.stdin
                assert holder.stdout
                assert json.loads(holder.stdout.readline())["held"] == mappings
                reader.start()
                with capture.recording(monitor, log):
                    holder.stdin.write("go\n")
                    holder.stdin.flush()
                    assert json.loads(holder.stdout.readline())["ns"]
            reader.join()
    return _between(calls, code)


def _calls(code: Code, log: Path) -> Iterable[tuple[int, ...]]:
    exits = frozenset(
        address
        for address, instruction in code.instructions.items()
        if instruction.returns and code.function(address) == RELEASE
    )
    return cut.calls(capture.executed(log), code.start(RELEASE), exits)


def _between(calls: Sequence[tuple[int, ...]], code: Code) -> list[int]:
    where = code.source_lines({address for call in calls for address in call})
    checks = {
        address
        for address, places in where.items()
        if any(place.function == CHECK for place in places)
    }
    found: list[int] = []
    for call in calls:
        length = 0
        for address in call:
            length += 1
            if address in checks:
                found.append(length)
                length = 0
        found.append(length)
    return [length for length in found if length > WITHIN]


def size_of(symbols: Path, name: str) -> int:
    """The bytes of a structure, by the debug information of what was linked."""
    said = subprocess.run(
        ["readelf", "--debug-dump=info", symbols], capture_output=True, text=True, check=True
    ).stdout
    found = re.findall(
        rf"DW_TAG_structure_type\)\n.*DW_AT_name\s.*: {name}\n.*DW_AT_byte_size\s*: (\d+)", said
    )
    assert len(set(found)) == 1, f"{name} in {symbols}: {found}"
    return int(found[0])
