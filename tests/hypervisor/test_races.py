"""Threads as vCPUs of several domains at once: nothing breaks, on stock as on patched."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.hypervisor.changes import apply_changes
from tests.hypervisor.races.faults import FAULTS
from tests.hypervisor.races.annotations import PATCHED, STOCK
from tests.hypervisor.userspace import HERE, compile_hypervisor, link
from tests.patience import patient

MARKS = {"stock": STOCK, "patched": PATCHED}
MIXES = re.findall(r'^    \{ "([\w-]+)"', (HERE / "races/mixes.h").read_text(), re.MULTILINE)
#: threads are to be overtaken where it matters; assertions as in a debug build
FLAGS = ("-O2", "-DRANDOM_DELAY", f"-I{HERE / 'harness'}")
#: of fences it knows nothing: the harness has a read-modify-write there instead
TSAN = ("-O1", "-fsanitize=thread", "-Wno-tsan", *FLAGS[1:])
PLAIN_OPERATIONS, TSAN_OPERATIONS, TIMES_LONG = 400_000, 40_000, 20
#: One run found the fault that is hardest to meet in 14 of 20 cases on one CPU, in 15 on two.
FAULT_RUNS = 20
#: what a thread told with no other thread's doing would not be in each mix
USUAL = {"map 0", "map -1", "unmap 0", "grant 0", "version 0", "version -16", "end 0"}


class Races:
    """Builds of the program, by hypervisor, flags, and fault."""

    def __init__(self, sources: dict[str, Path], into: Path):
        self.sources = sources
        self.into = into
        self.made: dict[tuple, Path] = {}

    def program(self, side: str, flags=FLAGS, changes=()) -> Path:
        which = (side, flags, changes)
        if which not in self.made:
            into = self.into / str(len(self.made))
            marks = tuple(change for mark in MARKS[side] for change in mark.changes)
            sources = apply_changes(self.sources[side], into, (*marks, *changes))
            made = compile_hypervisor(side, sources, into, flags)
            self.made[which] = link(
                into / "races",
                ["races/races.c", made],
                sources,
                (*flags, f"-DSIDE={side}"),
                shared=False,
            )
        return self.made[which]


@pytest.fixture(scope="module")
def races(stock_sources, patched_sources, tmp_path_factory) -> Races:
    sources = {"stock": stock_sources, "patched": patched_sources}
    return Races(sources, tmp_path_factory.mktemp("races"))


def play(program: Path, mix: str, seed: int, operations: int):
    # ThreadSanitizer has its own places in memory, which randomisation may take.
    setarch = [shutil.which("setarch"), "--addr-no-randomize"]
    return subprocess.run(
        [*setarch, program, mix, str(seed), str(operations)],
        capture_output=True,
        text=True,
        check=False,
        timeout=patient(900),
        env={"TSAN_OPTIONS": "halt_on_error=1 history_size=4"},
    )


def times(request) -> int:
    return TIMES_LONG if request.config.getoption("--long", default=False) else 1


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("side", MARKS)
def test_at_full_speed(races, request, side, mix):
    done = play(races.program(side), mix, 1, PLAIN_OPERATIONS * times(request))
    assert (done.returncode, done.stderr) == (0, "")
    answers = {line.rpartition(" ")[0] for line in done.stdout.splitlines()}
    assert answers >= USUAL


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("side", MARKS)
def test_under_thread_sanitizer(races, request, side, mix):
    done = play(races.program(side, TSAN), mix, 2, TSAN_OPERATIONS * times(request))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_found(races, fault):
    """That these programs can fail: a lock, a wait or an order is taken out of the series.

    The same program without the fault ends with 0, as the tests above show. Which check a race
    trips first depends on the machine's speed, so that any other end is a symptom of the fault.
    """
    program = races.program("patched", TSAN if fault.sanitized else FLAGS, fault.changes)
    for seed in range(1, FAULT_RUNS + 1):
        done = play(program, fault.mix, seed, 200_000)
        if done.returncode:
            # It started: neither its command line nor ThreadSanitizer's memory was refused.
            assert done.returncode != 2, done.stderr
            assert "FATAL: ThreadSanitizer" not in done.stderr
            return
    pytest.fail(f"not found in {FAULT_RUNS} runs")
