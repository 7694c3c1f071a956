"""Coverage of the patched hypervisor's grant_table.c by the tests in this directory.

Random steps and inputs of the fuzzer run on both hypervisors, and coverage/error_paths.py on the
patched one. Lines that are not reached need a reason in coverage/unreached.toml. `pytest -rP` shows
the report.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hypervisor.coverage.gcov import Line, functions, report
from tests.hypervisor.coverage.unreached import unreached
from tests.hypervisor.fuzz.inputs import StepCodec
from tests.hypervisor.test_differential import SETTINGS
from tests.hypervisor.userspace import DIFFERENTIAL, compile_hypervisor, link
from tests.patience import patient

HERE = Path(__file__).parent
FLAGS = ("-O0", "--coverage", "-DNDEBUG", "-DEVENTS")
FUNCTIONS = (
    *("map_grant_ref", "unmap_common", "unmap_common_complete", "reduce_status_for_pin"),
    *("gnttab_release_mappings", "release_mapping", "release_fast_page", "release_fast_mappings"),
    *("gnttab_set_version", "nr_active_entries"),
    *("get_granter", "get_noted_granter", "put_granter", "get_granted_frame"),
    *("fast_slot_get", "fast_slot_find", "fast_tag", "fast_record"),
    *("alloc_granters", "note_granter", "granter_noted"),
    *("get_maptrack_handle", "_get_maptrack_handle", "steal_maptrack_handle"),
    *("put_maptrack_handle", "free_handle", "bus_slot_find"),
    *("complete_device_unmap", "complete_unmaps"),
    *("end_host_unmaps", "finish_host_unmaps"),
    *("gnttab_map_grant_ref", "gnttab_unmap_grant_ref"),
    *("iommu_map_mfn", "iommu_unmap_mfn", "flush_bus_frames", "unmap_bus_frames"),
    *("map_bus_frame", "put_bus_references"),
    *("release_fast_bus_frames", "release_slow_bus_frames"),
)
STEPS = 20_000  # for each setting
#: minimum line coverage, in total and of each function
BOUND = 0.95
#: functions with more unreachable lines: see coverage/unreached.toml
BOUNDS = {
    "iommu_unmap_mfn": 0.94,
    "map_bus_frame": 0.72,
    "reduce_status_for_pin": 0.87,
}


@pytest.fixture(scope="module")
def coverage(stock_sources, patched_sources, differential_library, tmp_path_factory):
    """Coverage by function after all programs have run."""
    into = tmp_path_factory.mktemp("coverage")
    stock = compile_hypervisor("stock", stock_sources, into, ("-O0", "-DNDEBUG"))
    patched = compile_hypervisor("patched", patched_sources, into, FLAGS)

    parts = ["fuzz/replay.c", "fuzz/target.c", *DIFFERENTIAL, stock, patched]
    replay = link(into / "replay", parts, stock_sources, FLAGS, shared=False)
    codec = StepCodec(differential_library)
    inputs = codec.write(into / "inputs", worlds=2, length=64)
    subprocess.run([replay, *sorted(inputs.iterdir())], check=True, timeout=patient(600))

    parts = ["differential/main.c", *DIFFERENTIAL, stock, patched]
    differential = link(into / "differential", parts, stock_sources, FLAGS, shared=False)
    for setting in SETTINGS:
        words = [differential, *map(str, setting), "1", "400", str(STEPS)]
        subprocess.run(words, check=True, timeout=patient(600), stdout=subprocess.DEVNULL)

    library = link(into / "libpatched.so", [patched], patched_sources, FLAGS, shared=True)
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
def reasons(coverage, patched_sources) -> dict[int, str]:
    return unreached(patched_sources / "xen/grant_table.c", coverage)


def share(lines: list[Line]) -> float:
    return sum(line.ran for line in lines) / len(lines)


def test_coverage_is_above_the_bounds(coverage):
    print(report(coverage))
    assert share([line for lines in coverage.values() for line in lines]) >= BOUND
    for name, lines in coverage.items():
        assert share(lines) >= BOUNDS.get(name, BOUND), name


def test_unreached_lines_have_a_reason(coverage, reasons):
    unreached_lines = {
        line.number: line.text for lines in coverage.values() for line in lines if not line.ran
    }
    assert {n: text for n, text in unreached_lines.items() if n not in reasons} == {}


def test_lines_with_a_reason_are_not_reached(coverage, reasons):
    ran = {line.number: line.text for lines in coverage.values() for line in lines if line.ran}
    assert {n: why for n, why in reasons.items() if n in ran} == {}
