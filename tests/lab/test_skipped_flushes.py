"""TLB flushes of a PV dom0 whose backends unmap pages that a CPU or only a device has accessed."""

import json

import pytest

from tests.lab.backends import backend_files
from tests.lab.lab_dom0 import leftovers
from tests.lab.lab_pool import LabPool

pytestmark = pytest.mark.long

ROUNDS = 5
#: batches that the backend also unmaps to connect, to disconnect and to probe the disk
OTHERS = 40
PINGS = 40
#: packets per ping: fragments of 1,480 bytes of 65,008
FRAGMENTS = 44


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return backend_files.make_directory(tmp_path_factory.mktemp("backends"))


@pytest.mark.parametrize("block", [4096, 65536])
@pytest.mark.parametrize("variant", ["unsupported-bus-region", "skip-flush"])
def test_batches_that_no_cpu_accessed_are_not_flushed(labs: LabPool, variant, block, files):
    dom0 = labs.get(variant)
    dom0.put(files)
    words = ("python3", "/root/backends/direct_reads.py", str(block), str(ROUNDS))
    report = json.loads(dom0.check_output(*words, timeout=500))
    print(variant, report)
    reads = ROUNDS * report["reads"]
    # A read of 64 KiB has an indirect descriptor: a page that dom0 reads, and unmaps by itself.
    accessed = reads if block > 11 * 4096 else 0
    skipped = reads if variant == "skip-flush" else 0
    assert skipped <= report["skipped"] <= (skipped and skipped + OTHERS)
    assert 0 <= report["flushed"] - (accessed + reads - skipped) <= OTHERS
    assert len(report["seconds"]) == ROUNDS
    assert leftovers(dom0) == ""


@pytest.mark.parametrize("target", ["card", "dom0"])
@pytest.mark.parametrize("variant", ["skip-flush"])
def test_packets_that_a_cpu_accessed_are_flushed(labs: LabPool, variant, target, files):
    """QEMU's user network checks no checksums, so Linux copies each packet for the card."""
    dom0 = labs.get(variant)
    dom0.put(files)
    words = ("python3", "/root/backends/large_pings.py", target, str(PINGS))
    report = json.loads(dom0.check_output(*words, timeout=500))
    print(variant, target, report)
    if target == "card":
        assert report["transmitted"] >= PINGS * FRAGMENTS
    assert report["flushed"] >= PINGS * FRAGMENTS / 32
    assert report["skipped"] <= OTHERS
    assert leftovers(dom0) == ""
