"""Tests of the tests in advisories/: each must fail on a hypervisor that violates its invariant.

Limits of these tests, which run in one thread with the rest of Xen emulated by the harness:

- XSA-268 is about Arm, XSA-73 about transfers, XSA-235 about the p2m on Arm: the tests check the
  order of locks in map, copy and version switch, and that every error path releases its locks.
- XSA-218 and XSA-453: presence and position of barriers, not whether they suffice.
- XSA-228: that the free list's lock is taken, and whose. races/ tests two CPUs at once.
- XSA-26, 255, 384, 486: frames of a PV guest. Translated guests have none in the p2m of the
  harness.
- XSA-288: grant mappings only. A guest's own page table updates are not in these files.
- XSA-346: without bus addresses, devices of a PV domain lose access at once; only flushes of bus
  addresses and of translated domains are deferred.
- XSA-380: number of entries per step, not its duration.
"""

import json
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
#: exit code of run_check.py
FAILED = 3
#: modules with invariants that no advisory is about, and which have faults all the same
OF_THE_SERIES = {"test_domid_reuse", "test_flushes"}

#: Faults planted into the patched hypervisor. `check` is the test that must fail, `why` describes
#: the fault, `file` is grant_table.c by default. `dies`: the fault crashes the hypervisor with this
#: message. `fast = false`: without fast mappings, for faults of the maptrack table. `bus = true`:
#: with bus addresses of mappings. `arguments`: of a parametrised check.
FAULTS = [
    fault
    for file in sorted(ADVISORIES.glob("*.toml"))
    for fault in tomllib.loads(file.read_text())["fault"]
]
CHECKS = {
    line.removeprefix("def ").partition("(")[0]: module.stem
    for module in ADVISORIES.glob("test_*.py")
    for line in module.read_text().splitlines()
    if line.startswith("def test_" if module.stem in OF_THE_SERIES else "def test_xsa_")
}


def test_each_check_has_a_fault():
    assert {fault["check"] for fault in FAULTS} == set(CHECKS)


def parameters(faults: list[dict]):
    """Return test parameters: one fault for each check, all others only with --long."""
    checks = [fault["check"] for fault in faults]
    return [
        pytest.param(
            fault,
            id=f"{check}: {fault['why']}",
            marks=() if checks.index(check) == i else pytest.mark.long,
        )
        for i, (check, fault) in enumerate(zip(checks, faults, strict=True))
    ]


@pytest.mark.parametrize("fault", parameters(FAULTS))
def test_the_check_fails_with_the_fault(fault, patched_sources, tmp_path):
    file = fault.get("file", "grant_table.c")
    changes = [Change(**change, file=file) for change in fault["change"]]
    sources = apply_changes(patched_sources, tmp_path / "sources", changes)
    part = compile_hypervisor("patched", sources, tmp_path, FLAGS)
    library = link(tmp_path / "libfaulty.so", [part], sources, FLAGS, shared=True)
    check = fault["check"]
    options = (
        *(str(fault.get("fast", True)), str(fault.get("bus", False))),
        json.dumps(fault.get("arguments", {})),
    )
    words = [ADVISORIES / "run_check.py", library, CHECKS[check], check, *options]
    done = subprocess.run(
        [sys.executable, *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=patient(300),
        env=os.environ | {"PYTHONPATH": str(HERE.parents[1])},
    )
    output = f"exit code {done.returncode}\n{done.stderr}"
    if "dies" in fault:
        # The crash of the hypervisor ends the process of the check.
        assert done.returncode < 0, output
        assert fault["dies"] in done.stderr, output
    else:
        assert done.returncode == FAILED, output
