"""TLB flushes of a PV dom0 whose backends unmap pages that a CPU or only a device has accessed."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from lablib import record
from lablib.monitor import Monitor

from tests.lab.backends import backend_files
from tests.lab.lab_dom0 import Dom0, leftovers
from tests.lab.lab_pool import LabPool

pytestmark = pytest.mark.long

ROUNDS = 5
#: batches that the backend also unmaps to connect, to disconnect and to probe the disk
OTHERS = 40
PINGS = 40
#: packets per ping: fragments of 1,480 bytes of 65,008
FRAGMENTS = 44
WAIT_FOR_CARD = "for i in $(seq 600); do [ {} /sys/class/net/eth1 ] && exit; sleep 0.2; done; false"


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


@pytest.mark.parametrize("target", ["routed", "dom0"])
@pytest.mark.parametrize("variant", ["skip-flush"])
def test_packets_that_a_cpu_accessed_are_flushed(labs: LabPool, variant, target, files):
    """Linux copies each packet before it routes it to a card."""
    dom0 = labs.get(variant)
    dom0.put(files)
    words = ("python3", "/root/backends/large_pings.py", target, str(PINGS))
    report = json.loads(dom0.check_output(*words, timeout=500))
    print(variant, target, report)
    if target == "routed":
        assert report["transmitted"] >= PINGS * FRAGMENTS
    assert report["flushed"] >= PINGS * FRAGMENTS / 32
    assert report["skipped"] <= OTHERS
    assert leftovers(dom0) == ""


@contextmanager
def second_card(dom0: Dom0) -> Iterator[None]:
    """Plug in a network card that reads packets from several pages and computes checksums."""
    with Monitor(record.directory(dom0.name) / "monitor") as monitor:
        monitor.do("netdev_add user,id=card,restrict=on")
        monitor.do("device_add e1000e,bus=port3,netdev=card,id=card")
    dom0.check_output(WAIT_FOR_CARD.format("-e"))
    try:
        yield
    finally:
        dom0.check_output("ip link set eth1 down")
        with Monitor(record.directory(dom0.name) / "monitor") as monitor:
            monitor.do("device_del card")
        dom0.check_output(WAIT_FOR_CARD.format("! -e"))
        with Monitor(record.directory(dom0.name) / "monitor") as monitor:
            monitor.do("netdev_del card")


@pytest.mark.parametrize("variant", ["unsupported-bus-region", "skip-flush"])
def test_packets_that_only_a_card_reads_are_not_flushed(labs: LabPool, variant, files):
    dom0 = labs.get(variant)
    dom0.put(files)
    with second_card(dom0):
        words = ("python3", "/root/backends/large_pings.py", "bridged", str(PINGS))
        report = json.loads(dom0.check_output(*words, timeout=500))
    print(variant, report)
    assert report["transmitted"] >= PINGS * FRAGMENTS
    batches = report["flushed"] + report["skipped"]
    assert batches >= PINGS * FRAGMENTS / 32
    if variant == "skip-flush":
        assert report["flushed"] <= OTHERS + 0.1 * batches
    else:
        assert report["skipped"] == 0
    assert leftovers(dom0) == ""
