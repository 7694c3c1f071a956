"""The handles of the libraries: without Xen, and with the fake grant table."""

import errno
import sys
from pathlib import Path

import pytest

from xenlib_cffi import library
from xenlib_cffi.call import Call
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import MissingLibraryError, XenLibraryError
from xenlib_cffi.evtchn import EventChannels
from xenlib_cffi.foreignmemory import ForeignMemory
from xenlib_cffi.gnttab import GrantMapper, GrantShare
from xenlib_cffi.hypfs import HypFs
from xenlib_cffi.loop import Loop, LoopEngine, ThreadShare

HANDLES = [
    (Call, "xencall_open", "/dev/xen/privcmd"),
    (Ctrl, "xc_interface_open", "/dev/xen/privcmd"),
    (EventChannels, "xenevtchn_open", "/dev/xen/evtchn"),
    (ForeignMemory, "xenforeignmemory_open", "/dev/xen/privcmd"),
    (GrantMapper, "xengnttab_open", "/dev/xen/gntdev"),
    (GrantShare, "xengntshr_open", "/dev/xen/gntalloc"),
    (HypFs, "xenhypfs_open", "hypfs"),
]
CLASSES = [row[0] for row in HANDLES]

IMPORTS = """
from xenlib_cffi.call import MAX_BATCH, Call, GrantMapping
from xenlib_cffi.errors import GrantError, XenLibraryError
"""


@pytest.mark.skipif(Path("/dev/xen").exists(), reason="this machine runs on Xen")
@pytest.mark.parametrize(("handle_class", "call", "device"), HANDLES, ids=str)
def test_without_xen_the_error_names_call_and_device(handle_class, call, device, capfd):
    with pytest.raises(XenLibraryError) as error:
        handle_class()
    assert (error.value.call, error.value.subject) == (call, device)
    assert error.value.errno in {errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.EACCES}
    assert str(error.value).startswith(f"{call} on {device}: {errno.errorcode[error.value.errno]},")
    # The message of the library is in the exception and not on stderr.
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("handle_class", CLASSES)
def test_without_the_extension_every_handle_reports_what_to_install(handle_class, monkeypatch):
    monkeypatch.setitem(sys.modules, "xenlib_cffi._xen", None)
    with pytest.raises(MissingLibraryError) as error:
        handle_class()
    assert "apt install libxen-dev" in error.value.remedy


def test_without_the_extension_the_loop_reports_the_missing_module(monkeypatch):
    monkeypatch.setitem(sys.modules, "xenlib_cffi._xen", None)
    with pytest.raises(MissingLibraryError, match=r"Xen's C libraries cannot be used: .*_xen"):
        Loop(LoopEngine.HYPERCALL, [ThreadShare(0, [(7, 8, 0)])], batch=1)


def test_a_failure_has_the_errno_of_the_call_or_eio():
    ffi, lib = library.load()
    handle = object.__new__(Call)
    handle.ffi, handle.lib = ffi, lib
    ffi.errno = errno.ENOSPC
    assert str(handle.failure("a_call", "a domain")) == (
        "a_call on a domain: ENOSPC, No space left on device"
    )
    assert handle.failure("a_call", "a domain", 0).errno == errno.EIO


def test_closing_twice_closes_once(on_fake_xen):
    out = on_fake_xen(f"""{IMPORTS}
with Call() as call:
    print(fake.open, fake.buffers)
    call.close()
    print(fake.open, fake.buffers)
print(fake.open, fake.buffers)
""")
    assert out == "1 1\n0 0\n0 0\n"


def test_the_garbage_collector_closes_an_open_handle(on_fake_xen):
    out = on_fake_xen(f"""{IMPORTS}
import gc
call = Call()
del call
gc.collect()
print(fake.open, fake.buffers)
""")
    assert out == "0 0\n"


def test_the_device_is_closed_if_the_buffer_cannot_be_allocated(on_fake_xen):
    out = on_fake_xen(f"""{IMPORTS}
fake.no_buffer = True
try:
    Call()
except XenLibraryError as error:
    print(error)
print(fake.open)
""")
    assert out == ("xencall_alloc_buffer_pages on 8 pages: ENOMEM, Cannot allocate memory\n0\n")


def test_more_references_than_a_batch_are_mapped_in_order_and_unmapped(on_fake_xen):
    out = on_fake_xen(f"""{IMPORTS}
with Call() as call:
    references = [(7, gref) for gref in range(8, 8 + 2 * MAX_BATCH + 5)]
    for readonly in (False, True):
        mappings = call.map_device(references, readonly=readonly)
        entries = [fake.maptrack[mapping.handle] for mapping in mappings]
        print([(m.domid, m.gref) for m in entries] == references, {{m.readonly for m in entries}})
        print(fake.live, fake.largest, set(call.unmap_device(mappings)), fake.live)
    print(call.map_device([]), call.unmap_device([]))
""")
    assert out == "True {False}\n1029 512 {0} 0\nTrue {True}\n1029 512 {0} 0\n[] []\n"


@pytest.mark.parametrize("gref", [8, 8 + 511, 8 + 512, 8 + 700])
def test_a_rejected_reference_leaves_nothing_mapped(on_fake_xen, gref):
    out = on_fake_xen(f"""{IMPORTS}
fake.refused_gref, fake.refused_status = {gref}, -13
with Call() as call:
    try:
        call.map_device([(7, gref) for gref in range(8, 8 + 701)])
    except GrantError as error:
        print(error.domid, error.gref, error.status, error)
print(fake.live, fake.mapped > 0, fake.stale)
""")
    assert out == (
        f"7 {gref} -13 GNTTABOP_map_grant_ref on reference {gref} of domain 7: "
        "GNTST_no_space: out of space (maptrack or grant table is full)\n0 True 0\n"
    )


@pytest.mark.parametrize("done", [0, 3])
def test_a_failing_hypercall_leaves_nothing_mapped(on_fake_xen, done):
    out = on_fake_xen(f"""{IMPORTS}
fake.map_breaks = {done}
with Call() as call:
    try:
        call.map_device([(7, gref) for gref in range(8, 18)])
    except XenLibraryError as error:
        print(error)
print(fake.live, fake.mapped)
""")
    assert out == (
        f"GNTTABOP_map_grant_ref on reference 8 of domain 7: EFAULT, Bad address\n0 {done}\n"
    )


def test_unmap_returns_each_status_and_leaves_other_mappings(on_fake_xen):
    out = on_fake_xen(f"""{IMPORTS}
with Call() as call:
    mappings = call.map_device([(7, gref) for gref in range(8, 12)])
    # Another driver maps the same page and gets the handle that is now stale.
    (stale,) = call.map_device([(7, 20)])
    call.unmap_device([stale])
    host_map = library.fake_xen_map(False, 7, 20)
    print(host_map == stale.handle)
    # If unmap_device did not set a field, Xen would take this value for a host address.
    call.ffi.memmove(call._buffer, bytes([0x5a]) * 4096, 4096)
    wrong = GrantMapping(mappings[1].handle, mappings[0].bus_addr)
    print(call.unmap_device([stale, mappings[0], wrong, GrantMapping(4000, 4096)]))
    print(fake.maptrack[host_map].live, fake.live)
    print(call.unmap_device(mappings[1:]))
""")
    assert out == "True\n[0, 0, -6, -4]\nTrue 4\n[0, 0, 0]\n"


def test_fast_handles_are_mapped_and_unmapped_like_others(on_fake_xen):
    out = on_fake_xen(f"""{IMPORTS}
fake.fast = True
with Call() as call:
    mappings = call.map_device([(0x7fef, 65_534)] * 3)
    print([hex(mapping.handle) for mapping in mappings])
    print(call.unmap_device(mappings), fake.live)
    print(call.unmap_device([GrantMapping(0xffffffff, 4096), mappings[0]]))
""")
    assert out == "['0xffeffffe', '0xffeffffe', '0x2']\n[0, 0, 0] 0\n[-4, -4]\n"


def test_a_sweep_unmaps_only_device_maps_of_the_page(on_fake_xen):
    out = on_fake_xen(f"""{IMPORTS}
host_map = library.fake_xen_map(False, 7, 8)
with Call() as call:
    (lost, other) = call.map_device([(7, 8), (7, 9)])
    call.sweep(lost.bus_addr, 0, 2000)
    print([fake.maptrack[h].live for h in (host_map, lost.handle, other.handle)], fake.largest)
    fake.unmap_breaks = 0
    try:
        call.sweep(lost.bus_addr, 10, 5)
    except XenLibraryError as error:
        print(error)
""")
    assert out == (
        "[True, False, True] 512\n"
        "GNTTABOP_unmap_grant_ref on handles 10 to 14: EFAULT, Bad address\n"
    )


def test_gntdev_maps_and_unmaps_pages(on_fake_xen):
    out = on_fake_xen("""
from xenlib_cffi.errors import XenLibraryError
from xenlib_cffi.gnttab import GrantMapper
with GrantMapper() as mapper:
    with mapper.map([(7, 8), (8, 9)]) as pages:
        words = [int.from_bytes(pages.page(i)[:8], "little") for i in range(2)]
        print(words == [7 << 32 | 8, 8 << 32 | 9], fake.live)
        for index in (-1, 2):
            try:
                pages.page(index)
            except IndexError as error:
                print("no page", error)
    pages.release()
    print(fake.live)
    fake.refused_gref = 9
    try:
        mapper.map([(7, 8), (8, 9)])
    except XenLibraryError as error:
        print(error)
    pages = mapper.map([(7, 8)], readonly=True)
    del pages
    print(fake.live)
print(fake.open)
""")
    assert out == (
        "True 2\nno page -1\nno page 2\n0\n"
        "xengnttab_map_grant_refs on 2 references, the first 8 of domain 7: "
        "EINVAL, Invalid argument\n0\n0\n"
    )


def test_of_several_rejected_references_the_first_is_reported(on_fake_xen):
    out = on_fake_xen(f"""{IMPORTS}
fake.refused_gref, fake.refused_status = 9, -3
with Call() as call:
    try:
        call.map_device([(7, 8), (7, 9), (8, 9)])
    except GrantError as error:
        print(error.domid, error.gref)
""")
    assert out == "7 9\n"
