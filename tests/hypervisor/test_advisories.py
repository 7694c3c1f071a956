"""The checks in advisories/ can fail: each does, on a hypervisor whose invariant is broken.

What they do not show, as one thread does it all and the rest of Xen is the harness':

- 268 is of Arm. 73 was of transfers, 235 of adding to a p2m on Arm: what is checked is the order of
  the locks of mapping, copying and changing versions, and that each way out of these unlocks.
- 218's and 453's barriers: that they are there, and in the right place, not that they suffice.
- 228: that the free lists' locks are taken, and whose. Two CPUs at once are the matter of races/.
- 26, 255, 384, 486: of a PV guest's frames. A translated one has none in its p2m here.
- 288: of what is mapped by way of grants. What a guest's own page tables do is not in these files.
- 346: the harness has devices lose a frame at once, so that nothing is deferred.
- 380: how many entries a step looks at, not how long it takes.
"""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.hypervisor.changes import Change, apply_changes
from tests.hypervisor.userspace import compile_hypervisor, link
from tests.patience import patient

HERE = Path(__file__).parent
ADVISORIES = HERE / "advisories"
FLAGS = ("-O0", "-g0", "-w", "-DEVENTS", "-DNDEBUG")
#: as alone.py has it
FAILED = 3

#: Text of the patched hypervisor's sources, and what stands there instead.  The file is
#: grant_table.c unless said otherwise.  `dies`: what breaks it takes the host down, and this is
#: what is said then.  `fast = false`: without fast mappings, where the maptrack table is meant.
#: `bus = true`: where mappings have bus addresses of their own.
BROKEN = [
    broken
    for file in sorted(ADVISORIES.glob("*.toml"))
    for broken in tomllib.loads(file.read_text())["broken"]
]
CHECKS = {
    line.removeprefix("def ").partition("(")[0]: module.stem
    for module in ADVISORIES.glob("test_*.py")
    for line in module.read_text().splitlines()
    if line.startswith("def test_xsa_")
}


def test_each_check_has_something_that_breaks_it():
    assert {broken["check"] for broken in BROKEN} == set(CHECKS)


def breakages(broken: list[dict]):
    """What there is to break; one for each check by default."""
    checks = [one["check"] for one in broken]
    return [
        pytest.param(
            one,
            id=f"{check}: {one['why']}",
            marks=() if checks.index(check) == i else pytest.mark.long,
        )
        for i, (check, one) in enumerate(zip(checks, broken, strict=True))
    ]


@pytest.mark.parametrize("broken", breakages(BROKEN))
def test_broken(broken, patched_sources, tmp_path):
    file = broken.get("file", "grant_table.c")
    changes = [Change(**change, file=file) for change in broken["change"]]
    sources = apply_changes(patched_sources, tmp_path / "sources", changes)
    part = compile_hypervisor("patched", sources, tmp_path, FLAGS)
    library = link(tmp_path / "libbroken.so", [part], sources, FLAGS, shared=True)
    check = broken["check"]
    ways = (str(broken.get("fast", True)), str(broken.get("bus", False)))
    words = [ADVISORIES / "alone.py", library, CHECKS[check], check, *ways]
    done = subprocess.run(
        [sys.executable, *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=patient(300),
        env=os.environ | {"PYTHONPATH": str(HERE.parents[1])},
    )
    said = f"exit code {done.returncode}\n{done.stderr}"
    if "dies" in broken:
        # What must never happen takes the host down, and what is under test here with it.
        assert done.returncode < 0, said
        assert broken["dies"] in done.stderr, said
    else:
        assert done.returncode == FAILED, said
