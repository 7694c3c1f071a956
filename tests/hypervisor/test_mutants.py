"""Mutation tests: the differential test must detect each planted fault of the patched hypervisor.

Faults that other tests detect, or that have no effect (`by` in mutants/*.toml), must pass the
differential test. `pytest -rA` shows what detects each fault.
"""

import re
import subprocess
from pathlib import Path

import pytest

from tests.hypervisor.changes import apply_changes
from tests.hypervisor.mutants.mutants import Mutant, load_mutants
from tests.hypervisor.races.faults import FAULTS
from tests.hypervisor.userspace import DIFFERENTIAL, compile_hypervisor, link
from tests.patience import patient

HERE = Path(__file__).parent
#: A release build, so that no assertion detects a fault; not optimised, as compiling takes longest.
FLAGS = ("-O0", "-g0", "-DNDEBUG")
REST_FLAGS = ("-O2", "-g0", "-DNDEBUG")
#: (translated_mapper, strict_iommu, fast, flush), those first that detect most faults
SETTINGS = (
    *((0, 0, 1, 0), (0, 2, 1, 0), (0, 1, 1, 0), (1, 0, 1, 0), (0, 0, 0, 0), (1, 2, 0, 0)),
    (0, 0, 1, 1),
)
SEED, LENGTH, STEPS = 1, 400, 40_000
#: limit of a run, which takes less than one second; a fault may cause an endless loop
CPU_SECONDS = 4
MUTANTS = load_mutants()


@pytest.fixture(scope="module")
def rest(stock_sources, tmp_path_factory) -> Path:
    """The differential test without the patched hypervisor, as one object."""
    into = tmp_path_factory.mktemp("rest")
    stock = compile_hypervisor("stock", stock_sources, into, REST_FLAGS)
    parts = ["differential/main.c", *DIFFERENTIAL, stock]
    return link(into / "rest.o", parts, stock_sources, [*REST_FLAGS, "-r"], shared=False)


def first_difference(rest: Path, sources: Path, into: Path) -> str | None:
    """Run the differential test on a mutant; return the first difference or crash, or None."""
    patched = compile_hypervisor("patched", sources, into, FLAGS)
    program = link(into / "differential", [rest, patched], sources, FLAGS, shared=False)
    for setting in SETTINGS:
        words = [program, *setting, SEED, LENGTH, STEPS]
        limits = ["prlimit", "--core=0", f"--cpu={CPU_SECONDS}:{CPU_SECONDS + 1}"]
        done = subprocess.run(
            [*limits, *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            timeout=patient(300),
        )
        if done.returncode:
            # 1: a difference. Negative: the hypervisor crashed or ran out of CPU time.
            assert done.returncode == 1 or done.returncode < 0, done.stderr
            lines = (done.stdout if done.returncode == 1 else done.stderr).splitlines()
            return lines[-1] if lines else f"signal {-done.returncode}"
    return None


def test_the_unchanged_hypervisor_does_not_differ(rest, patched_sources, tmp_path):
    assert first_difference(rest, patched_sources, tmp_path) is None


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_fault_is_detected_as_declared(mutant: Mutant, rest, patched_sources, tmp_path):
    sources = apply_changes(patched_sources, tmp_path / "sources", [mutant.change])
    difference = first_difference(rest, sources, tmp_path)
    print(f"{mutant.name}: {difference or f'{mutant.by}, {mutant.why}'}")
    if mutant.by == "differential":
        assert difference
    else:
        assert difference is None


def test_names_of_faults_are_unique():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize(
    "mutant", [mutant for mutant in MUTANTS if mutant.by != "differential"], ids=lambda m: m.name
)
def test_the_declared_detector_exists(mutant: Mutant):
    match mutant.by:
        case "models":
            model, variant = mutant.why.split()
            assert re.search(rf"^#.*\b{variant}\b", _text(f"models/{model}.pml"), re.MULTILINE)
        case "advisories":
            tests = "".join(path.read_text() for path in (HERE / "advisories").glob("*.py"))
            assert f"def {mutant.why}(" in tests
        case "races":
            (fault,) = (fault for fault in FAULTS if fault.name == mutant.why)
            assert fault.changes == (mutant.change,)
        case _:
            assert mutant.by == "none"
            assert mutant.why


def _text(name: str) -> str:
    return (HERE / name).read_text()
