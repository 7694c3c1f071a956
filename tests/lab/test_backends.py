"""Data of a real guest through blkback and netback, on every hypervisor."""

import json

import pytest

from tests.lab.backends import image
from tests.lab.labs import Labs
from tests.lab.reach import left_behind
from xengt.plan.devices import GuestDevices, parts

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return image.files(tmp_path_factory.mktemp("backends"))


@pytest.mark.parametrize(
    ("variant", "persistent"),
    [("stock", "0"), ("patched", "0"), ("patched", "1"), ("patched-debug", "0")],
)
def test_what_goes_in_comes_out(labs: Labs, variant, persistent, files):
    dom0 = labs.get(variant)
    dom0.put(files)
    told = json.loads(
        dom0.succeeds("python3", "/root/backends/traffic.py", persistent, timeout=500)
    )
    for way in ("read", "wrote", "received", "sent"):
        here, there = told[way]
        assert here == there, way
    if variant == "stock":
        assert told["fast_maps"] is None
    elif persistent == "0":  # every page read, and every page written, is mapped for it
        assert told["fast_maps"] >= 2 * told["pages"]
    else:
        assert told["fast_maps"] > 0
    if told["most_live"] is not None:
        # Two disks and a network, of one queue each, as a domain of one vCPU has them.
        planned = parts(GuestDevices(vifs=1, vbds=2), user_mappings=2)
        assert 0 < told["most_live"] <= sum(part.mappings for part in planned)
    assert left_behind(dom0) == ""


@pytest.mark.parametrize("variant", ["stock", "patched"])
def test_the_kernel_times_what_it_maps_for_it(labs: Labs, variant, files):
    dom0 = labs.get(variant)
    dom0.put(files)
    words = "PYTHONPATH=/root/dom0 python3 /root/backends/timed.py /tmp/serve.toml"
    told = json.loads(dom0.succeeds(words, timeout=500))
    print(told)
    for caller, least in (("blkback", 2 * told["pages"]), ("netback", told["pages"])):
        mapped, unmapped = told[f"{caller} map"], told[f"{caller} unmap"]
        # What was mapped for the guest is unmapped by now: not a call of either has been missed.
        assert mapped["references"] == unmapped["references"] >= least
        assert 0 < mapped["calls"] <= mapped["references"]
    assert told["other map"]["calls"] == told["other unmap"]["calls"] == 0
    assert left_behind(dom0) == ""
