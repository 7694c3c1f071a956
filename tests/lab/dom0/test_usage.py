"""`xengt usage` against known numbers of mappings: made, refused and unmapped."""

import subprocess
import threading
import time

import pytest
from patience import patient

from xengt.bench.granters.empty_domains import EmptyDomains
from xengt.usage import COUNTS, read_usage
from xengt.xen import kernel, maptrack
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import GrantError, GrantStatus, XenLibraryError
from xenlib_cffi.gnttab import GrantMapper
from xenlib_cffi.hypfs import HypFs

with Ctrl() as opened:
    KIND = maptrack.detect(opened.version().commandline)
counted = pytest.mark.skipif(KIND == "stock", reason="stock Xen counts no mappings")
#: hypfs names, in the order of COUNTS
NAMES = (
    *("frames", "max-frames", "maptrack-frames", "max-maptrack-frames"),
    *("fast-live", "fast-maps", "slow-live", "slow-maps"),
    *("flushes", "skipped-flushes"),
)
LIVE_AND_EVER = ("fast_live", "fast_maps", "slow_live", "slow_maps")


def xenhypfs(path):
    """Return the value that Xen's own tool reads."""
    return subprocess.check_output(["xenhypfs", "cat", path], text=True).strip()


def row(domid=0):
    return next(each for each in read_usage().domains if each.domid == domid)


def dom0_counters():
    """Return dom0's counters: fast mappings, live and ever made, then slow ones."""
    own = row()
    return tuple(getattr(own, key) for key in LIVE_AND_EVER)


def expected_counters(before, *, fast=0, slow=0, ended=False):
    """Return the counters expected after more mappings; without fast entries all are slow."""
    if KIND != "fast":
        fast, slow = 0, fast + slow
    live = 0 if ended else 1
    steps = (live * fast, fast, live * slow, slow)
    return tuple(figure + step for figure, step in zip(before, steps, strict=True))


def wait_for_counters(expected):
    """Wait for expected counters, as Linux unmaps gntdev's pages asynchronously."""
    deadline = time.monotonic() + patient(300)
    while (found := dom0_counters()) != expected and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


@counted
def test_two_mappings_of_a_reference_are_fast_and_the_third_is_slow(call, empty):
    references = [(domid, gref) for domid, gref, _ in empty]
    before = dom0_counters()
    held = call.map_device(references)
    assert dom0_counters() == expected_counters(before, fast=64)
    held += call.map_device(references)
    assert dom0_counters() == expected_counters(before, fast=128)
    third = call.map_device(references)
    assert dom0_counters() == expected_counters(before, fast=128, slow=64)
    assert set(call.unmap_device(third)) == {GrantStatus.OKAY}
    assert dom0_counters() == expected_counters(
        expected_counters(before, fast=128), slow=64, ended=True
    )
    assert set(call.unmap_device(held)) == {GrantStatus.OKAY}
    assert dom0_counters() == expected_counters(before, fast=128, slow=64, ended=True)
    # The granter itself maps nothing.
    granter = row(references[0][0])
    assert [getattr(granter, key) for key in LIVE_AND_EVER] == [0, 0, 0, 0]


@counted
def test_mappings_of_the_toolstacks_references_are_slow(call, memory, raw_domain):
    domid, mfns = raw_domain
    with memory.grant_table(domid, 1) as table:
        for gref, mfn in ((0, mfns[0]), (7, mfns[1]), (8, mfns[2])):
            table.permit(gref, 0, mfn)
        before = dom0_counters()
        held = call.map_device([(domid, 0), (domid, 7), (domid, 8)])
        assert dom0_counters() == expected_counters(before, fast=1, slow=2)
        assert set(call.unmap_device(held)) == {GrantStatus.OKAY}
        assert dom0_counters() == expected_counters(before, fast=1, slow=2, ended=True)


@counted
def test_references_that_no_handle_can_name_are_slow(call, memory, ctrl):
    domid = ctrl.create_empty(b"xengt-test-12345", 129)
    try:
        mfns = ctrl.populate(domid, 2)
        with memory.grant_table(domid, 129) as table:
            table.permit(65_535, 0, mfns[0])
            table.permit(65_536, 0, mfns[1])
            before = dom0_counters()
            held = call.map_device([(domid, 65_535), (domid, 65_536)])
            assert dom0_counters() == expected_counters(before, fast=1, slow=1)
            if KIND == "fast":
                assert held[0].handle == 0x8000FFFF | domid << 16
            assert held[1].handle < 1 << 31
            assert set(call.unmap_device(held)) == {GrantStatus.OKAY}
            assert dom0_counters() == expected_counters(before, fast=1, slow=1, ended=True)
        assert (row(domid).grant_frames, row(domid).max_grant_frames) == (129, 129)
    finally:
        ctrl.destroy(domid)


@counted
def test_refused_maps_are_not_counted(call, empty):
    domid = empty[0].domid
    before = dom0_counters()
    for gref in (3, 400, 1 << 20):
        with pytest.raises(GrantError):
            call.map_device([(domid, gref)])
    assert dom0_counters() == before


@counted
def test_gntdev_unmaps_all_that_it_maps(empty):
    before = dom0_counters()
    with GrantMapper() as mapper, mapper.map([(domid, gref) for domid, gref, _ in empty]):
        own = dom0_counters()
        # A PV Linux maps at a kernel address and a user PTE; if their tags are equal, one is slow.
        # A PVH Linux maps each page once.
        mappings = 64 if kernel.is_translated() else 128
        assert own[0] + own[2] == before[0] + before[2] + mappings
        assert own[2] - before[2] <= 4 or KIND != "fast"
    ended = (before[0], own[1], before[2], own[3])
    assert wait_for_counters(ended) == ended


@counted
def test_maptrack_frames_grow_with_slow_mappings_alone(call, empty):
    references = [(domid, gref) for domid, gref, _ in empty]
    before = row()
    held = call.map_device(references * 2)
    if KIND == "fast":
        assert row().maptrack_frames == before.maptrack_frames
    # Over all references, as each cannot be mapped more than 127 times.
    held += call.map_device(references * 48)
    full = row()
    assert set(call.unmap_device(held)) == {GrantStatus.OKAY}
    assert full.slow_live >= 48 * len(references)
    assert full.slow_live / 256 <= full.maptrack_frames <= full.max_maptrack_frames
    # Xen does not free maptrack frames, so an earlier test may have allocated them.
    needed = -(-full.slow_live // 256)
    assert full.maptrack_frames > before.maptrack_frames or before.maptrack_frames >= needed


@counted
def test_counts_agree_with_hypfs(call, empty):
    held = call.map_device([(empty[0].domid, empty[0].gref)] * 3)
    usage = read_usage()
    with HypFs() as hypfs:
        assert set(hypfs.list("/gnttab")) == {str(each.domid) for each in usage.domains}
        for each in usage.domains:
            printed = [xenhypfs(f"/gnttab/{each.domid}/{name}") for name in NAMES]
            assert printed == [str(getattr(each, key)) for key in COUNTS]
    call.unmap_device(held)


def test_frames_agree_with_xen_and_grow_with_the_table(ctrl, memory, raw_domain):
    domid, _ = raw_domain
    for frames in (1, 3):
        with memory.grant_table(domid, frames):
            usage = read_usage()
            sizes = {
                each.domid: (each.grant_frames, each.max_grant_frames) for each in usage.domains
            }
            assert sizes[domid] == (frames, 4)
            assert sizes == {each.domid: ctrl.grant_size(each.domid) for each in ctrl.domains()}
    names = {each.domid: each.name for each in usage.domains}
    assert names[0] == "Domain-0"
    assert names[domid] is None


def test_the_console_shows_who_maps_which_reference(call, empty):
    """Also on stock Xen, which reports maptrack frames nowhere else."""
    domid = empty[0].domid
    references = [(domid, gref) for domid, gref, _ in empty]
    held = call.map_device(references) + call.map_device(references[:8], readonly=True)
    with GrantMapper() as mapper, mapper.map([(domid, gref) for _, gref, _ in empty[:4]]):
        usage = read_usage(from_console=True)
    call.unmap_device(held)
    rows = {each.domid: each for each in usage.domains}
    (own,) = rows[domid].mapped_by
    assert (own.domid, own.references, own.grefs) == (0, 64, "8-71")
    # gntdev maps each page for the kernel and for the process.
    assert (own.host_writable, own.device_writable, own.device_readonly) == (8, 64, 8)
    assert 1 <= rows[0].maptrack_frames <= rows[0].max_maptrack_frames
    assert usage.source == ("console" if KIND == "stock" else "hypfs")


def test_a_table_larger_than_the_console_ring_is_missing(call):
    """16 KiB are room for about 215 references in use."""
    with EmptyDomains(1) as domains:
        references = [(domid, gref) for domid, gref, _ in domains.references(400)]
        held = call.map_device(references)
        usage = read_usage(from_console=True)
        call.unmap_device(held)
    granter = next(each for each in usage.domains if each.domid == references[0][0])
    reasons = [each for each in usage.missing if "console ring is too small" in each.why]
    assert granter.mapped_by is None
    assert str(granter.domid) in reasons[0].why
    assert "mapped_by" in reasons[0].keys


def test_a_destroyed_domain_is_dying_while_mapped(ctrl, call, memory):
    domid = ctrl.create_empty(b"xengt-test-12345", 4)
    try:
        (mfn,) = ctrl.populate(domid, 1)
        with memory.grant_table(domid, 1) as table:
            table.permit(8, 0, mfn)
        held = call.map_device([(domid, 8)])
        assert row(domid).dying is False
    finally:
        ctrl.destroy(domid)
    assert row(domid).dying is True
    call.unmap_device(held)
    deadline = time.monotonic() + patient(300)
    while ctrl.domain(domid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert domid not in {each.domid for each in read_usage().domains}


def test_domains_appear_and_disappear_during_readings(ctrl):
    done = threading.Event()
    count = 0
    usual = len(read_usage().domains)

    def come_and_go():
        nonlocal count
        while not done.is_set():
            domid = ctrl.create_empty(b"xengt-test-12345", 4)
            # Some domains live longer than a reading takes, others do not.
            time.sleep(count % 3 * 0.1)
            ctrl.destroy(domid)
            count += 1

    readings = []
    deadline = time.monotonic() + patient(300)
    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        # Continue until a reading contains such a domain; otherwise the test is meaningless.
        while count < 20 or max((len(u.domains) for u in readings), default=0) <= usual:
            assert time.monotonic() < deadline
            readings.append(read_usage())
    finally:
        done.set()
        thread.join()
    keys = COUNTS[:2] if KIND == "stock" else COUNTS
    for usage in readings:
        assert usage.domains[0].domid == 0
        assert all(getattr(each, key) is not None for each in usage.domains for key in keys)
        assert [each.keys for each in usage.missing] == ([COUNTS[2:]] if KIND == "stock" else [])


@counted
@pytest.mark.parametrize("name", NAMES)
def test_counters_are_readonly(name):
    with HypFs() as hypfs, pytest.raises(XenLibraryError, match="xenhypfs_write"):
        hypfs.write(f"/gnttab/0/{name}", "7")
