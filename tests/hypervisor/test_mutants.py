"""Faults of the patched hypervisor: each is seen, or it is said why not.

`pytest -rA` tells of each by what.  A fault that the differ must not see is tried as one that it
must, so that what is said of it is checked as well.
"""

import re
import subprocess
from pathlib import Path

import pytest

from tests.hypervisor.changes import changed
from tests.hypervisor.mutants.mutants import Mutant, mutants
from tests.hypervisor.races.faults import FAULTS
from tests.hypervisor.userspace import DIFFER, compiled, linked
from tests.patience import patient

HERE = Path(__file__).parent
#: As released: what a user sees is to tell, not assertions. Compiling a mutant takes longest.
FLAGS = ("-O0", "-g0", "-DNDEBUG")
REST_FLAGS = ("-O2", "-g0", "-DNDEBUG")
#: translated, IOMMU, fast; those first that tell most
SETTINGS = ((0, 0, 1), (0, 2, 1), (0, 1, 1), (1, 0, 1), (0, 0, 0), (1, 2, 0))
SEED, LENGTH, STEPS = 1, 400, 40_000
#: of a run, which takes less than one; a fault may have it go on for ever
CPU_SECONDS = 4
MUTANTS = mutants()


@pytest.fixture(scope="module")
def rest(stock_sources, tmp_path_factory) -> Path:
    """All of the differ but the patched hypervisor, in one object."""
    into = tmp_path_factory.mktemp("rest")
    stock = compiled("stock", stock_sources, into, REST_FLAGS)
    parts = ["differ/main.c", *DIFFER, stock]
    return linked(into / "rest.o", parts, stock_sources, [*REST_FLAGS, "-r"], shared=False)


def seen(rest: Path, sources: Path, into: Path) -> str | None:
    """What tells a patched hypervisor from stock, first of all."""
    patched = compiled("patched", sources, into, FLAGS)
    program = linked(into / "differ", [rest, patched], sources, FLAGS, shared=False)
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
            # 1: they differ. Below 0: the host crashed, or did not come back.
            assert done.returncode == 1 or done.returncode < 0, done.stderr
            said = (done.stdout if done.returncode == 1 else done.stderr).splitlines()
            return said[-1] if said else f"signal {-done.returncode}"
    return None


def test_without_a_fault(rest, patched_sources, tmp_path):
    assert seen(rest, patched_sources, tmp_path) is None


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_fault(mutant: Mutant, rest, patched_sources, tmp_path):
    sources = changed(patched_sources, tmp_path / "sources", [mutant.change])
    what = seen(rest, sources, tmp_path)
    print(f"{mutant.name}: {what or f'{mutant.by}, {mutant.why}'}")
    if mutant.by == "differ":
        assert what
    else:
        assert what is None


def test_names_are_of_one_fault():
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize(
    "mutant", [mutant for mutant in MUTANTS if mutant.by != "differ"], ids=lambda m: m.name
)
def test_what_else_sees_it_is_there(mutant: Mutant):
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
