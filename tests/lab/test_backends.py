"""A guest transfers data through blkback and netback, on every hypervisor."""

import json

import pytest

from tests.lab.backends import backend_files
from tests.lab.lab_dom0 import leftovers
from tests.lab.lab_pool import LabPool
from xengt.plan.devices import GuestDevices, parts

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return backend_files.make_directory(tmp_path_factory.mktemp("backends"))


@pytest.mark.parametrize(
    ("variant", "persistent"),
    [("stock", "0"), ("patched", "0"), ("patched", "1"), ("patched-debug", "0")],
)
def test_data_arrives_unchanged(labs: LabPool, variant, persistent, files):
    dom0 = labs.get(variant)
    dom0.put(files)
    report = json.loads(
        dom0.check_output("python3", "/root/backends/traffic.py", persistent, timeout=500)
    )
    for direction in ("read", "wrote", "received", "sent"):
        dom0_checksum, guest_checksum = report[direction]
        assert dom0_checksum == guest_checksum, direction
    if variant == "stock":
        assert report["fast_maps"] is None
    elif persistent == "0":  # every page that is read or written is mapped once
        assert report["fast_maps"] >= 2 * report["pages"]
    else:
        assert report["fast_maps"] > 0
    if report["most_live"] is not None:
        # Two disks and a network interface with one queue each, as the guest has one vCPU.
        planned = parts(GuestDevices(vifs=1, vbds=2), user_mappings=2)
        assert 0 < report["most_live"] <= sum(part.mappings for part in planned)
    assert leftovers(dom0) == ""


@pytest.mark.parametrize("variant", ["stock", "patched"])
def test_kernel_grant_calls_are_counted(labs: LabPool, variant, files):
    dom0 = labs.get(variant)
    dom0.put(files)
    words = "PYTHONPATH=/root/dom0 python3 /root/backends/timed_traffic.py /tmp/serve.toml"
    report = json.loads(dom0.check_output(words, timeout=500))
    print(report)
    for caller, least in (("blkback", 2 * report["pages"]), ("netback", report["pages"])):
        mapped, unmapped = report[f"{caller} map"], report[f"{caller} unmap"]
        # All of the guest's mappings are unmapped by now, so the counts agree if none was missed.
        assert mapped["references"] == unmapped["references"] >= least
        assert 0 < mapped["calls"] <= mapped["references"]
    assert report["other map"]["calls"] == report["other unmap"]["calls"] == 0
    assert leftovers(dom0) == ""
