"""Costs of stock and patched Xen, measured in instructions on a running lab."""

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

from tests.lab.lab_dom0 import LAB, Dom0
from tests.lab.mapper.build_mapper import build_mapper

HELD = 100_000
GRANTERS = (1, 64)
#: mappings held for a trace: enough for several preemption checks, few enough to trace in time
TRACED = 3_200
RELEASE = "gnttab_release_mappings"
#: called by hypercall_preempt_check(), and by nothing else that releases mappings
CHECK = "local_events_need_delivery"
#: a preemption check consists of up to this many instructions, not all of them its own
SAME_CHECK = 16


@functools.cache
def _built() -> tempfile.TemporaryDirectory[str]:
    made = tempfile.TemporaryDirectory(prefix="xengt-mapper-")
    build_mapper(Path(made.name))
    return made


def install_mapper(lab: Dom0) -> None:
    """Copy the mapper kernel and the program that starts it into dom0."""
    lab.put(Path(_built().name) / "mapper")


@dataclass(frozen=True)
class Pair:
    """Median instructions of one map and one unmap, each without its measurement overhead.

    Attributes:
        map: of one map.
        unmap: of one unmap.
        overhead: measurement overhead of both.
    """

    map: float
    unmap: float
    overhead: float

    @property
    def both(self) -> float:
        return self.map + self.unmap


@dataclass(frozen=True)
class HeldMappings:
    """What a mapper cost that held two mappings per reference and was destroyed.

    Attributes:
        mappings: number of mappings held.
        pages: pages of Xen's memory that they occupied.
        usage: the mapper's counters in hypfs; None on stock.
        end: instructions of `xc_domain_destroy`.
    """

    mappings: int
    pages: int
    usage: dict[str, int] | None
    end: int


def measure_pairs(lab: Dom0, *plan: str, by: tuple[str, str]) -> dict[tuple[int, int], Pair]:
    """Measure a benchmark plan; returns the pairs by the values of the two options `by`."""
    net: dict[tuple[int, int], dict[str, float]] = {}
    for result in lab.bench(*plan, timeout=600)["results"]:
        case = net.setdefault((result[by[0]], result[by[1]]), {"overhead": 0})
        case[result["operation"]] = result["latency_ns"]["p50"] - result["floor_ns"]
        case["overhead"] += result["floor_ns"]
    return {key: Pair(**case) for key, case in net.items()}


def _command(lab: Dom0, mappings: int, granters: int) -> list[str | Path]:
    line = f"PYTHONPATH=/root/mapper python3 /root/dom0/hold_and_destroy.py {mappings} {granters}"
    return [LAB, "ssh", "--name", lab.name, "--timeout", "500", "--", line]


def hold_and_destroy(lab: Dom0, mappings: int, granters: int) -> HeldMappings:
    """Let a mapper hold mappings, and destroy it; requires `install_mapper`."""
    words = _command(lab, mappings, granters)
    done = subprocess.run(words, input="go\n", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report, end = (json.loads(line) for line in done.stdout.splitlines())
    return HeldMappings(
        report.get("held", 0), report.get("pages", 0), report.get("usage"), end["ns"]
    )


def symbols_file(lab: Dom0) -> Path:
    """Return the xen-syms of the hypervisor that a lab runs."""
    found = record.load(lab.name)
    assert found is not None
    return command.find_symbols_of_lab(found.hypervisor)


def preemption_intervals(lab: Dom0, mappings: int, granters: int) -> list[int]:
    """Return the instructions between preemption checks while Xen releases a mapper's mappings.

    The first interval starts at the entry of the function, the last one ends at its return.
    Requires `install_mapper`.
    """
    with tempfile.TemporaryDirectory() as directory:
        log, text = Path(directory) / "log", Path(directory) / "text"
        os.mkfifo(log)
        calls: list[tuple[int, ...]] = []
        with Monitor(record.directory(lab.name) / "monitor") as monitor:
            command.save_text_section(monitor, Code(symbols_file(lab)), text)
            code = Code(symbols_file(lab), text)
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
    return [length for length in found if length > SAME_CHECK]


def structure_size(symbols: Path, name: str) -> int:
    """Return the size of a structure in bytes, from the debug information of xen-syms."""
    output = subprocess.run(
        ["readelf", "--debug-dump=info", symbols], capture_output=True, text=True, check=True
    ).stdout
    found = re.findall(
        rf"DW_TAG_structure_type\)\n.*DW_AT_name\s.*: {name}\n.*DW_AT_byte_size\s*: (\d+)", output
    )
    assert len(set(found)) == 1, f"{name} in {symbols}: {found}"
    return int(found[0])
