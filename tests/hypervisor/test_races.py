"""Stress test with threads as vCPUs of several domains, on stock and patched."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.hypervisor.changes import apply_changes
from tests.hypervisor.races.annotations import PATCHED, STOCK
from tests.hypervisor.races.faults import FAULTS
from tests.hypervisor.userspace import HERE, compile_hypervisor, link
from tests.patience import patient

ANNOTATIONS = {"stock": STOCK, "patched": PATCHED}
MIXES = re.findall(r'^    \{ "([\w-]+)"', (HERE / "races/mixes.h").read_text(), re.MULTILINE)
#: with random delays, and with assertions as in a debug build
FLAGS = ("-O2", "-DRANDOM_DELAY", f"-I{HERE / 'harness'}")
#: ThreadSanitizer does not know fences; the harness uses a read-modify-write instead
TSAN = ("-O1", "-fsanitize=thread", "-Wno-tsan", *FLAGS[1:])
PLAIN_OPERATIONS, TSAN_OPERATIONS, LONG_FACTOR = 400_000, 40_000, 20
#: A single run found the rarest fault in 14 of 20 cases on one CPU, in 15 on two.
FAULT_RUNS = 20
#: operations and statuses that occur in every mix
REQUIRED_STATUSES = {
    *("map 0", "map -1", "unmap 0", "grant 0", "version 0", "version -16", "destroy 0"),
}


class Races:
    """Builds the program for each hypervisor, flags and fault, once each."""

    def __init__(self, sources: dict[str, Path], into: Path):
        self.sources = sources
        self.into = into
        self.programs: dict[tuple, Path] = {}

    def program(self, side: str, flags=FLAGS, changes=()) -> Path:
        key = (side, flags, changes)
        if key not in self.programs:
            into = self.into / str(len(self.programs))
            annotations = tuple(c for each in ANNOTATIONS[side] for c in each.changes)
            sources = apply_changes(self.sources[side], into, (*annotations, *changes))
            hypervisor = compile_hypervisor(side, sources, into, flags)
            self.programs[key] = link(
                into / "races",
                ["races/races.c", hypervisor],
                sources,
                (*flags, f"-DSIDE={side}"),
                shared=False,
            )
        return self.programs[key]


@pytest.fixture(scope="module")
def races(stock_sources, patched_sources, tmp_path_factory) -> Races:
    sources = {"stock": stock_sources, "patched": patched_sources}
    return Races(sources, tmp_path_factory.mktemp("races"))


def run(program: Path, mix: str, seed: int, operations: int):
    # ThreadSanitizer needs fixed address ranges, which randomisation may occupy.
    setarch = [shutil.which("setarch"), "--addr-no-randomize"]
    return subprocess.run(
        [*setarch, program, mix, str(seed), str(operations)],
        capture_output=True,
        text=True,
        check=False,
        timeout=patient(900),
        env={"TSAN_OPTIONS": "halt_on_error=1 history_size=4"},
    )


def factor(request) -> int:
    return LONG_FACTOR if request.config.getoption("--long", default=False) else 1


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("side", ANNOTATIONS)
def test_threads_leave_a_consistent_state(races, request, side, mix):
    done = run(races.program(side), mix, 1, PLAIN_OPERATIONS * factor(request))
    assert (done.returncode, done.stderr) == (0, "")
    statuses = {line.rpartition(" ")[0] for line in done.stdout.splitlines()}
    assert statuses >= REQUIRED_STATUSES


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("side", ANNOTATIONS)
def test_thread_sanitizer_finds_no_race(races, request, side, mix):
    done = run(races.program(side, TSAN), mix, 2, TSAN_OPERATIONS * factor(request))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_found(races, fault):
    """Removing a lock, a wait or an ordering from the series makes the program fail.

    Without the fault it exits with 0, as the tests above check. Which check fails first depends on
    the machine's speed, so any other result counts as detection.
    """
    program = races.program("patched", TSAN if fault.sanitized else FLAGS, fault.changes)
    for seed in range(1, FAULT_RUNS + 1):
        done = run(program, fault.mix, seed, 200_000)
        if done.returncode:
            # Not a usage error, nor a failure of ThreadSanitizer itself.
            assert done.returncode != 2, done.stderr
            assert "FATAL: ThreadSanitizer" not in done.stderr
            return
    pytest.fail(f"not found in {FAULT_RUNS} runs")
