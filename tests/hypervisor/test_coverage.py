"""Which lines of the patched hypervisor's grant_table.c the tests here reach, and which not.

What plays: random steps and inputs of the fuzzer on both hypervisors, and covered/rare.py. A line
that is not reached has a reason, or fails the tests; `pytest -rP` shows the report.
"""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hypervisor.coverage.gcov import Line, functions, report
from tests.hypervisor.coverage.unreached import unreached
from tests.hypervisor.fuzz.inputs import Differ
from tests.hypervisor.userspace import DIFFERENTIAL, compile_hypervisor, link
from tests.patience import patient

HERE = Path(__file__).parent
FLAGS = ("-O0", "--coverage", "-DNDEBUG", "-DEVENTS")
FUNCTIONS = (
    *("map_grant_ref", "unmap_common", "unmap_common_complete", "reduce_status_for_pin"),
    *("gnttab_release_mappings", "release_mapping", "release_fast_page", "release_fast_mappings"),
    *("gnttab_set_version", "nr_active_entries", "get_granter", "put_granter"),
    *("fast_slot_get", "fast_slot_find", "fast_tag", "fast_record"),
    *("alloc_granters", "note_granter", "granter_noted"),
    *("get_maptrack_handle", "_get_maptrack_handle", "steal_maptrack_handle"),
    *("put_maptrack_handle", "free_handle", "keep_mapping"),
    *("iommu_map_mfn", "iommu_unmap_mfn", "unmap_bus_frames", "bus_slot_find"),
    *("put_bus_references", "put_device_references"),
    *("release_fast_bus_frames", "release_slow_bus_frames"),
)
STEPS = 20_000  # of each setting
BOUND = 0.95
#: where what cannot be reached is more than that: see covered/unreached.toml
BOUNDS = {
    "map_grant_ref": 0.92,
    "iommu_unmap_mfn": 0.94,
    "reduce_status_for_pin": 0.87,
}


@pytest.fixture(scope="module")
def covered(stock_sources, patched_sources, differential_library, tmp_path_factory):
    """Lines by function, after all has been played."""
    into = tmp_path_factory.mktemp("covered")
    stock = compile_hypervisor("stock", stock_sources, into, ("-O0", "-DNDEBUG"))
    patched = compile_hypervisor("patched", patched_sources, into, FLAGS)

    parts = ["fuzz/replay.c", "fuzz/target.c", *DIFFERENTIAL, stock, patched]
    replay = link(into / "replay", parts, stock_sources, FLAGS, shared=False)
    known = Differ(differential_library)
    inputs = known.write(into / "inputs", worlds=2, length=64)
    subprocess.run([replay, *sorted(inputs.iterdir())], check=True, timeout=patient(600))

    parts = ["differential/main.c", *DIFFERENTIAL, stock, patched]
    differ = link(into / "differ", parts, stock_sources, FLAGS, shared=False)
    for setting in itertools.product("01", "012", "01"):
        words = [differ, *setting, "1", "400", str(STEPS)]
        subprocess.run(words, check=True, timeout=patient(600), stdout=subprocess.DEVNULL)

    library = link(into / "librare.so", [patched], patched_sources, FLAGS, shared=True)
    words = [sys.executable, HERE / "coverage/error_paths.py", library]
    subprocess.run(
        words,
        check=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1])},
        timeout=patient(600),
    )

    found = functions(into / "patched.gcda", "grant_table.c")
    return {name: found[name] for name in FUNCTIONS}


@pytest.fixture(scope="module")
def reasons(covered, patched_sources) -> dict[int, str]:
    return unreached(patched_sources / "xen/grant_table.c", covered)


def share(lines: list[Line]) -> float:
    return sum(line.ran for line in lines) / len(lines)


def test_enough_is_reached(covered):
    print(report(covered))
    assert share([line for lines in covered.values() for line in lines]) >= BOUND
    for name, lines in covered.items():
        assert share(lines) >= BOUNDS.get(name, BOUND), name


def test_for_what_is_not_reached_there_is_a_reason(covered, reasons):
    left = {line.number: line.text for lines in covered.values() for line in lines if not line.ran}
    assert {n: text for n, text in left.items() if n not in reasons} == {}


def test_what_is_said_not_to_be_reached_is_not(covered, reasons):
    ran = {line.number: line.text for lines in covered.values() for line in lines if line.ran}
    assert {n: why for n, why in reasons.items() if n in ran} == {}
