"""Every function of the bindings, on a real Xen."""

import errno
import gc
import os
import time
from collections import Counter

import pytest
from pv_only import pv_only

from xengt.xen import handle, kernel
from xengt.xen.handle import DOM0
from xenlib_cffi.call import MAX_BATCH, Call, GrantMapping
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import GrantError, GrantStatus, XenLibraryError
from xenlib_cffi.evtchn import EventChannels
from xenlib_cffi.gnttab import GrantMapper, GrantShare
from xenlib_cffi.hypfs import HypFs, HypFsNumbers

NO_DOMAIN = 0x7000


def test_version_agrees_with_sysfs(ctrl):
    version = ctrl.version()
    base = "/sys/hypervisor/version"
    major, minor, extra = (
        open(f"{base}/{name}").read().strip() for name in ("major", "minor", "extra")
    )
    assert (str(version.major), str(version.minor), version.extra) == (major, minor, extra)
    assert str(version) == f"{major}.{minor}{extra}"
    # Linux exports the bytes unchanged.
    assert version.build_id == open("/sys/hypervisor/properties/buildid", "rb").read().hex()
    assert "console=com1" in version.commandline
    assert "xen-3.0-x86_64" in version.capabilities
    assert "gcc" in version.compiler
    assert version.compile_date


def test_xencall_returns_the_version(ctrl):
    with Call() as call:
        assert call.xen_version() == (ctrl.version().major, ctrl.version().minor)
        assert call.buffers_never_fault


def test_physinfo(ctrl):
    machine = ctrl.physinfo()
    assert machine.cpus >= os.cpu_count()
    assert machine.nodes == 1
    assert machine.cpu_khz > 100_000
    assert 0 < machine.free_pages < machine.total_pages
    assert machine.pv
    assert machine.directio == kernel.is_translated()  # a PVH dom0 needs an IOMMU


def test_life_cycle_of_a_domain(ctrl):
    before = ctrl.physinfo().free_pages
    domid = ctrl.create_empty(b"xengt-test-12345", 7)
    try:
        mfns = ctrl.populate(domid, 100)
        assert len(set(mfns)) == 100
        domain = ctrl.domain(domid)
        assert domain is not None
        assert (domain.uuid, domain.pages, domain.vcpus) == (b"xengt-test-12345", 100, 0)
        assert domain.paused
        assert (domain.dying, domain.hvm, domain.shutdown) == (False, False, False)
        assert ctrl.grant_size(domid) == (1, 7)
        assert ctrl.physinfo().free_pages <= before - 100
    finally:
        ctrl.destroy(domid)
    assert ctrl.domain(domid) is None


def test_domain_errors_name_call_and_domain(ctrl):
    with pytest.raises(XenLibraryError, match=f"xc_domain_destroy on domain {NO_DOMAIN}: ESRCH"):
        ctrl.destroy(NO_DOMAIN)
    with pytest.raises(XenLibraryError, match="GNTST_bad_domain") as size:
        ctrl.grant_size(NO_DOMAIN)
    assert size.value.errno == errno.ESRCH
    with pytest.raises(XenLibraryError, match="xc_domain_setmaxmem on 5 pages"):
        ctrl.populate(NO_DOMAIN, 5)


def test_populate_with_more_memory_than_free(ctrl, raw_domain):
    domid, _ = raw_domain
    too_many = ctrl.physinfo().free_pages + 10_000
    with pytest.raises(XenLibraryError, match=f"{too_many} pages for domain {domid}"):
        ctrl.populate(domid, too_many)


def test_debug_keys_print_to_the_console_ring(ctrl):
    ctrl.console(clear=True)
    ctrl.send_debug_keys("h")
    for _ in range(50):
        output = ctrl.console()
        if "installed handlers" in output:
            break
    assert "installed handlers" in output
    ctrl.console(clear=True)
    assert "installed handlers" not in ctrl.console()


def test_the_console_ring_is_read_from_a_position(ctrl):
    end = ctrl.console_from(None).end
    output = b""
    ctrl.send_debug_keys("h")
    for _ in range(50):
        text, end, lost = ctrl.console_from(end)
        output += text
        assert lost == 0
        if b"installed handlers" in output:
            break
    assert output.count(b"installed handlers") == 1
    assert b"installed handlers" in ctrl.console_from(None).text  # nothing was cleared
    ctrl.send_debug_keys("h")
    while not ctrl.console_from(end).text:
        pass
    ctrl.console(clear=True)
    text, _, lost = ctrl.console_from(end)
    assert lost > 0
    assert text[:1] in {b"", b"\n"}


def test_an_empty_domains_grant_table_has_version_1(ctrl, memory, raw_domain):
    domid, _ = raw_domain
    assert ctrl.grant_version(domid) == 1
    with pytest.raises(XenLibraryError, match=f"1 status frames of domain {domid}") as error:
        memory.grant_status(domid, 1)
    assert error.value.errno == errno.EINVAL
    with pytest.raises(XenLibraryError, match=f"xc_gnttab_get_version on domain {NO_DOMAIN}"):
        ctrl.grant_version(NO_DOMAIN)


def test_life_cycle_of_a_grant(call, memory, raw_domain):
    domid, mfns = raw_domain
    with memory.map(domid, mfns) as pages:
        pages.page(1)[0:5] = b"hello"
        with pytest.raises(IndexError):
            pages.page(4)
    with memory.grant_table(domid, 1) as table:
        table.permit(20, DOM0, mfns[1])
        assert table[20][1:] == (DOM0, mfns[1])
        assert not table.in_use(20)
        (mapping,) = call.map_device([(domid, 20)])
        assert mapping.bus_addr == mfns[1] << 12
        assert table.in_use(20)
        with GrantMapper() as mapper, mapper.map([(domid, 20)]) as pages:
            assert pages.page(0)[0:5] == b"hello"
            pages.page(0)[0:5] = b"HELLO"
        assert call.unmap_device([mapping]) == [GrantStatus.OKAY]
        assert call.unmap_device([mapping]) == [GrantStatus.BAD_HANDLE]
        table.revoke(20)
        with pytest.raises(GrantError, match=f"reference 20 of domain {domid}") as refused:
            call.map_device([(domid, 20)])
        assert refused.value.status == GrantStatus.GENERAL_ERROR
        with pytest.raises(IndexError):
            table[512]
    with memory.map(domid, [mfns[1]]) as pages:
        assert pages.page(0)[0:5] == b"HELLO"


def test_mapping_grant_frames_grows_the_table_up_to_its_limit(ctrl, memory, raw_domain):
    domid, _ = raw_domain
    with memory.grant_table(domid, 3) as table:
        assert table.size == 3 * 512
    assert ctrl.grant_size(domid) == (3, 4)
    with pytest.raises(XenLibraryError, match=f"the 5 grant frames of domain {domid}"):
        memory.grant_table(domid, 5)


def test_a_readonly_grant(call, memory, raw_domain):
    domid, mfns = raw_domain
    with memory.grant_table(domid, 1) as table:
        table.permit(8, DOM0, mfns[0], readonly=True)
        with pytest.raises(GrantError):
            call.map_device([(domid, 8)])
        (mapping,) = call.map_device([(domid, 8)], readonly=True)
        assert call.unmap_device([mapping]) == [GrantStatus.OKAY]
        with GrantMapper() as mapper:
            with pytest.raises(XenLibraryError, match=f"the first 8 of domain {domid}"):
                mapper.map([(domid, 8)])
            with mapper.map([(domid, 8)], readonly=True) as pages:
                assert bytes(pages.page(0)) == bytes(4096)


def test_a_refused_reference_undoes_the_whole_map(call, memory, empty):
    domid = empty[0].domid
    references = [(domid, gref) for _, gref, _ in empty]
    with memory.grant_table(domid, 1, writable=False) as table:
        with pytest.raises(GrantError, match="reference 400"):
            call.map_device([*references, (domid, 400)])
        assert not any(table.in_use(gref) for _, gref in references)


@pytest.mark.parametrize(
    ("domid", "gref", "status"),
    [
        (NO_DOMAIN, 8, GrantStatus.BAD_DOMAIN),
        (None, 1 << 20, GrantStatus.BAD_GNTREF),
        (None, 500, GrantStatus.GENERAL_ERROR),
    ],
)
def test_errors_contain_xens_status(call, empty, domid, gref, status):
    domid = empty[0].domid if domid is None else domid
    with pytest.raises(GrantError) as refused:
        call.map_device([(domid, gref)])
    assert refused.value.status == status
    assert status.text in str(refused.value)
    assert f"reference {gref} of domain {domid}" in str(refused.value)


def test_more_operations_than_one_hypercall_accepts(call, empty):
    references = [(domid, gref) for domid, gref, _ in empty] * (MAX_BATCH // 64 + 1)
    mappings = call.map_device(references)
    assert len(mappings) == len(references) > MAX_BATCH
    # At most two mappings share a fast handle; slow handles are unique.
    shared = Counter(mapping.handle for mapping in mappings)
    assert all(count <= (2 if handle.FAST & value else 1) for value, count in shared.items())
    assert set(call.unmap_device(mappings)) == {GrantStatus.OKAY}


def test_sweep_unmaps_one_page_only(call, memory, empty):
    domid, first, _ = empty[0]
    second = empty[1].gref
    mine, again, other = call.map_device([(domid, first), (domid, first), (domid, second)])
    with memory.grant_table(domid, 1, writable=False) as table, GrantMapper() as mapper:
        with mapper.map([(domid, first)]) as pages:
            call.sweep(mine.bus_addr, 0, 16_384)
            call.sweep(mine.bus_addr, handle.build(domid, first).value, 1)
            call.sweep(mine.bus_addr, handle.build(domid, first).value, 1)
            assert call.unmap_device([mine, again]) == [GrantStatus.BAD_HANDLE] * 2
            # Linux's host mapping of the page remains.
            assert table.in_use(first)
            assert int.from_bytes(pages.page(0)[0:8], "little") == empty[0].pattern
        assert table.in_use(second)
        assert call.unmap_device([other]) == [GrantStatus.OKAY]


def test_unmap_with_a_wrong_address_changes_nothing(call, memory, empty):
    domid, gref, _ = empty[0]
    (mapping,) = call.map_device([(domid, gref)])
    wrong = GrantMapping(mapping.handle, mapping.bus_addr + 4096)
    with memory.grant_table(domid, 1, writable=False) as table:
        assert call.unmap_device([wrong]) == [GrantStatus.BAD_DEV_ADDR]
        assert table.in_use(gref)
    assert call.unmap_device([mapping]) == [GrantStatus.OKAY]


@pv_only
def test_dom0_shares_with_itself():
    with GrantShare() as share, share.share(DOM0, 20) as shared:
        assert len(set(shared.references)) == shared.count == 20
        shared.page(7)[100:104] = b"seen"
        with GrantMapper() as mapper, mapper.map([(DOM0, shared.references[7])]) as pages:
            assert pages.page(0)[100:104] == b"seen"


def test_a_readonly_share(call):
    with GrantShare() as share, share.share(DOM0, 1, writable=False) as shared:
        references = [(DOM0, shared.references[0])]
        with pytest.raises(GrantError):
            call.map_device(references)
        assert call.unmap_device(call.map_device(references, readonly=True)) == [GrantStatus.OKAY]


def test_exceeding_gntallocs_limit_is_enospc():
    limit = int(open("/sys/module/xen_gntalloc/parameters/limit").read())
    with GrantShare() as share, pytest.raises(XenLibraryError) as refused:
        share.share(DOM0, limit + 1)
    assert refused.value.errno == errno.ENOSPC


def test_event_channels():
    with EventChannels() as channels:
        mine = channels.bind_unbound(DOM0)
        peer = channels.bind_interdomain(DOM0, mine)
        # Xen marks a newly connected port as pending.
        assert channels.pending() == peer
        channels.notify(peer)
        assert channels.pending() == mine
        channels.unmask(mine)
        assert channels.fileno() > 2
        channels.unbind(peer)
        channels.unbind(mine)
        with pytest.raises(XenLibraryError, match=f"xenevtchn_notify on port {peer}"):
            channels.notify(peer)
        with pytest.raises(XenLibraryError, match="port 999 of domain 0"):
            channels.bind_interdomain(DOM0, 999)


def test_hypfs():
    with HypFs() as hypfs:
        assert hypfs.list("/")["params"] is True
        assert hypfs.list("/params")["loglvl"] is False
        assert int(hypfs.read("/params/gnttab_max_maptrack_frames")) > 0
        before = hypfs.read("/params/gnttab_max_frames")
        hypfs.write("/params/gnttab_max_frames", "77")
        assert hypfs.read("/params/gnttab_max_frames") == "77"
        hypfs.write("/params/gnttab_max_frames", before)
        with pytest.raises(XenLibraryError, match="xenhypfs_read on /params/nothing: ENOENT"):
            hypfs.read("/params/nothing")
        with pytest.raises(XenLibraryError, match="xenhypfs_readdir on /nothing"):
            hypfs.list("/nothing")
        with pytest.raises(XenLibraryError, match="xenhypfs_write"):
            hypfs.write("/params/gnttab_max_frames", "many")


def test_hypfs_numbers():
    names = ["frames", "nothing", "max-frames"]
    with HypFs() as hypfs, HypFsNumbers(names) as numbers:
        if "gnttab" not in hypfs.list("/"):
            assert numbers.read("/gnttab/0") == [None] * 3
            return
        frames, most = (int(hypfs.read(f"/gnttab/0/{names[i]}")) for i in (0, 2))
        assert numbers.read("/gnttab/0") == [frames, None, most]
        assert numbers.read("/gnttab/32751") == [None] * 3


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("library", [Call, Ctrl, EventChannels, GrantMapper, GrantShare, HypFs])
def test_handles_are_closed_once_and_by_garbage_collection(library):
    gc.collect()
    before = descriptors()
    with library() as handle:
        assert descriptors() > before
    assert descriptors() == before
    handle.close()
    handle = library()
    assert descriptors() > before
    del handle
    gc.collect()
    assert descriptors() == before


def test_garbage_collection_unmaps_pages(memory, empty):
    domid, gref, _ = empty[0]
    with memory.grant_table(domid, 1, writable=False) as table:
        mapper = GrantMapper()
        pages = mapper.map([(domid, gref)])
        assert table.in_use(gref)
        # The pages keep the handle open, independent of the order of collection.
        del mapper
        gc.collect()
        assert int.from_bytes(pages.page(0)[0:8], "little") == empty[0].pattern
        del pages
        gc.collect()
        for _ in range(1000):
            if not table.in_use(gref):
                break
            time.sleep(0.01)
        assert not table.in_use(gref)
