"""DMA of a disk to granted pages behind an IOMMU: the bus addresses that dom0's kernel uses."""

import json
import re

import pytest

from tests.lab.backends import backend_files
from tests.lab.lab_dom0 import Dom0, leftovers
from tests.lab.lab_pool import LabPool
from tests.lab.xen_constants import BUS_REGION, PAGE

pytestmark = pytest.mark.long

#: XENFEAT_gnttab_bus_addr
FEATURE = 1 << 21
#: console message of the hypervisor about a DMA fault
FAULT = re.compile(r"DMAR:.*(fault|reason)", re.IGNORECASE)
UNSUPPORTED = "gnttab: no bus addresses for mappings: d0's kernel doesn't support them"

by_variant = pytest.mark.parametrize(
    "variant", ["bus-region", "no-bus-region", "unsupported-bus-region"]
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return backend_files.make_directory(tmp_path_factory.mktemp("backends"))


def offers_bus_addresses(dom0: Dom0) -> bool:
    """Return whether Xen offers dom0's kernel a separate bus address per mapping."""
    return bool(int(dom0.check_output("cat /sys/hypervisor/properties/features"), 16) & FEATURE)


def check_dma(dom0: Dom0, variant: str, dma: dict, granted: int) -> None:
    """Check that `granted` bytes used the right bus addresses, without bounce buffers or faults."""
    own = sum(length for address, length in dma["mapped"] if address >= BUS_REGION)
    others = sum(length for address, length in dma["mapped"] if address < BUS_REGION)
    print(variant, {"granted": granted, "own": own, "others": others, "bounced": dma["bounced"]})
    assert offers_bus_addresses(dom0) == (variant == "bus-region")
    assert (UNSUPPORTED in dom0.console()) == (variant == "unsupported-bus-region")
    if variant == "bus-region":
        assert own >= granted
        assert others > 0  # dom0's own pages: dom0 prepares the disk and reads it back
    else:
        assert own == 0
        assert others >= granted
    assert dma["bounced"] == 0
    assert not [line for line in dom0.console().splitlines() if FAULT.search(line)]
    assert leftovers(dom0) == ""


@pytest.mark.parametrize("persistent", ["0", "1"])
@by_variant
def test_guest_disks_on_the_controller(labs: LabPool, variant, persistent, files):
    dom0 = labs.get(variant)
    dom0.put(files)
    report = json.loads(
        dom0.check_output("python3", "/root/backends/nvme_traffic.py", persistent, timeout=500)
    )
    for direction in ("read", "wrote", "received", "sent"):
        dom0_checksum, guest_checksum = report[direction]
        assert dom0_checksum == guest_checksum, direction
    check_dma(dom0, variant, report["dma"], 2 * report["pages"] * PAGE)


@by_variant
def test_direct_io_to_pages_that_a_guest_shares(labs: LabPool, variant, files):
    dom0 = labs.get(variant)
    dom0.put(files)
    report = json.loads(
        dom0.check_output("python3", "/root/backends/user_space_io.py", timeout=300)
    )
    assert report["wrote"]
    assert report["read"]
    assert report["wrote, readonly"]
    assert report["refused"] == "Bad address"
    assert report["untouched"]
    check_dma(dom0, variant, report["dma"], report["bytes"])
