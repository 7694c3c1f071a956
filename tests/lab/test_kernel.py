"""Data of a guest on a disk behind an IOMMU: what dom0's kernel has devices access it at."""

import json
import re

import pytest
from backends import image
from labs import Labs
from reach import Dom0, left_behind

#: XENFEAT_gnttab_bus_addr
FEATURE = 1 << 21
#: where the region of mappings' bus addresses begins at the earliest
REGION = 1 << 40
#: what the hypervisor says when a device accesses what it must not
FAULT = re.compile(r"DMAR:.*(fault|Fault|reason)", re.IGNORECASE)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return image.files(tmp_path_factory.mktemp("backends"))


def offered(dom0: Dom0) -> bool:
    """Whether Xen tells dom0's kernel that bus addresses are the mappings' own."""
    return bool(int(dom0.succeeds("cat /sys/hypervisor/properties/features"), 16) & FEATURE)


@pytest.mark.parametrize("persistent", ["0", "1"])
@pytest.mark.parametrize("variant", ["bus-region", "no-bus-region", "no-bus-region-debian"])
def test_what_a_guest_has_on_nvme(labs: Labs, variant, persistent, files):
    dom0 = labs.get(variant)
    dom0.put(files)
    assert offered(dom0) == (variant == "bus-region")
    told = json.loads(dom0.succeeds("python3", "/root/backends/nvme.py", persistent, timeout=500))
    for way in ("read", "wrote", "received", "sent"):
        here, there = told[way]
        assert here == there, way
    data = 2 * told["pages"] * 4096  # what the guest has read, and what it has written
    own = sum(length for address, length in told["dma"]["mapped"] if address >= REGION)
    others = sum(length for address, length in told["dma"]["mapped"] if address < REGION)
    print(variant, persistent, {"own": own, "others": others, "bounced": told["dma"]["bounced"]})
    if variant == "bus-region":
        assert own >= data
        assert others > 0  # dom0's own pages: it makes the disks, and reads what was written
    else:
        assert own == 0
        assert others >= data
    assert told["dma"]["bounced"] == 0
    assert not [line for line in dom0.console().splitlines() if FAULT.search(line)]
    assert left_behind(dom0) == ""
