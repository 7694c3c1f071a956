"""Granted pages and a disk behind an IOMMU: what dom0's kernel has the disk access them at."""

import json
import re

import pytest

from tests.lab.backends import image
from tests.lab.labs import Labs
from tests.lab.reach import Dom0, left_behind

pytestmark = pytest.mark.long

#: XENFEAT_gnttab_bus_addr
FEATURE = 1 << 21
#: where the region of mappings' bus addresses begins, with CPUs of no more than 40 bits
REGION = 1 << 40
#: what the hypervisor says when a device accesses what it must not
FAULT = re.compile(r"DMAR:.*(fault|reason)", re.IGNORECASE)

by_variant = pytest.mark.parametrize(
    "variant", ["bus-region", "no-bus-region", "no-bus-region-debian"]
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return image.files(tmp_path_factory.mktemp("backends"))


def offered(dom0: Dom0) -> bool:
    """Whether Xen tells dom0's kernel that bus addresses are the mappings' own."""
    return bool(int(dom0.succeeds("cat /sys/hypervisor/properties/features"), 16) & FEATURE)


def check(dom0: Dom0, variant: str, dma: dict, granted: int) -> None:
    """So many bytes went where they should, nothing was copied on its way, and no access failed."""
    own = sum(length for address, length in dma["mapped"] if address >= REGION)
    others = sum(length for address, length in dma["mapped"] if address < REGION)
    print(variant, {"granted": granted, "own": own, "others": others, "bounced": dma["bounced"]})
    assert offered(dom0) == (variant == "bus-region")
    if variant == "bus-region":
        assert own >= granted
        assert others > 0  # dom0's own pages: it made the disk, and read what was written
    else:
        assert own == 0
        assert others >= granted
    assert dma["bounced"] == 0
    assert not [line for line in dom0.console().splitlines() if FAULT.search(line)]
    assert left_behind(dom0) == ""


@pytest.mark.parametrize("persistent", ["0", "1"])
@by_variant
def test_a_guest_has_its_disks_there(labs: Labs, variant, persistent, files):
    dom0 = labs.get(variant)
    dom0.put(files)
    told = json.loads(dom0.succeeds("python3", "/root/backends/nvme.py", persistent, timeout=500))
    for way in ("read", "wrote", "received", "sent"):
        here, there = told[way]
        assert here == there, way
    check(dom0, variant, told["dma"], 2 * told["pages"] * 4096)


@by_variant
def test_a_process_moves_what_a_guest_shares(labs: Labs, variant, files):
    dom0 = labs.get(variant)
    dom0.put(files)
    told = json.loads(dom0.succeeds("python3", "/root/backends/user.py", timeout=300))
    assert told["wrote"]
    assert told["read"]
    assert told["wrote, readonly"]
    assert told["refused"] == "Bad address"
    assert told["untouched"]
    check(dom0, variant, told["dma"], told["bytes"])
