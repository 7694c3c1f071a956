"""A device can access a granted page while it is mapped, and only as the mapping permits."""

import pytest
from dma_device import DEVICES, GRANTERS, WORD, Fault

from xenlib_cffi.call import GrantMapping
from xenlib_cffi.errors import GrantStatus

OKAY = GrantStatus.OKAY
#: start of the region of the mappings' bus addresses
REGION = 1 << 40
#: bus addresses of fast mappings start here; lower ones belong to maptrack entries
FAST = REGION + (1 << 43)


def test_a_page_is_accessible_until_it_is_unmapped(device, granted, call, own_addresses):
    shared = granted(2)
    mappings = call.map_device(shared.to_map())
    machine = [frame << 12 for frame in shared.frames]
    addresses = [mapping.bus_addr for mapping in mappings]
    assert (min(addresses) >= REGION) if own_addresses else (addresses == machine)
    assert [device.access(*each) for each in zip(shared.pages, addresses, strict=True)] == [
        "rw"
    ] * 2
    if own_addresses:
        assert device.access(shared.pages[0], machine[0]) == ""
    assert call.unmap_device(mappings[:1]) == [OKAY]
    assert [device.access(*each) for each in zip(shared.pages, addresses, strict=True)] == [
        "",
        "rw",
    ]
    assert call.unmap_device(mappings[1:]) == [OKAY]
    assert [device.access(*each) for each in zip(shared.pages, addresses, strict=True)] == ["", ""]


def test_a_reused_address_maps_the_new_page(device, granted, call, own_addresses):
    shared = granted(2)
    (_, gref, _), _ = shared.references
    (before,) = call.map_device(shared.to_map(0))
    assert device.access(shared.pages[0], before.bus_addr) == "rw"
    assert call.unmap_device([before]) == [OKAY]
    shared.table.permit(gref, 0, shared.frames[1])
    (mapping,) = call.map_device(shared.to_map(0))
    assert (mapping.bus_addr == before.bus_addr) == own_addresses
    assert device.access(shared.pages[1], mapping.bus_addr) == "rw"
    shared.pages[0][:WORD] = GRANTERS
    device.write(mapping.bus_addr, DEVICES)
    assert bytes(shared.pages[0][:WORD]) == GRANTERS
    assert call.unmap_device([mapping]) == [OKAY]
    assert device.access(shared.pages[1], mapping.bus_addr) == ""


@pytest.mark.parametrize("grant", ["for all", "for reading alone"])
def test_a_readonly_mapping_cannot_be_written(device, granted, call, grant):
    shared = granted(1)
    (_, gref, _) = shared.references[0]
    shared.table.permit(gref, 0, shared.frames[0], readonly=grant == "for reading alone")
    (mapping,) = call.map_device(shared.to_map(), readonly=True)
    device.write(mapping.bus_addr, DEVICES)
    assert device.reports_faults(Fault("Write", mapping.bus_addr))
    assert device.access(shared.pages[0], mapping.bus_addr) == "r"
    assert call.unmap_device([mapping]) == [OKAY]
    assert device.access(shared.pages[0], mapping.bus_addr) == ""


@pytest.mark.parametrize("first", [0, 1])
def test_two_mappings_are_accessible_independently(device, granted, call, own_addresses, first):
    shared = granted(1)
    mappings = call.map_device(shared.to_map(0, 0))
    addresses = [mapping.bus_addr for mapping in mappings]
    assert len(set(addresses)) == (2 if own_addresses else 1)
    assert call.unmap_device([mappings[first]]) == [OKAY]
    expected = ["rw", "rw"]
    if own_addresses:
        expected[first] = ""
    assert [device.access(shared.pages[0], address) for address in addresses] == expected
    assert call.unmap_device([mappings[1 - first]]) == [OKAY]
    assert [device.access(shared.pages[0], address) for address in addresses] == ["", ""]


def test_two_mappings_have_independent_permissions(device, granted, call, own_addresses):
    shared = granted(1)
    (reads,) = call.map_device(shared.to_map(), readonly=True)
    (writes,) = call.map_device(shared.to_map())
    both = [reads.bus_addr, writes.bus_addr]
    expected = ["r" if own_addresses else "rw", "rw"]
    assert [device.access(shared.pages[0], address) for address in both] == expected
    assert call.unmap_device([writes]) == [OKAY]
    expected = ["r", "" if own_addresses else "r"]
    assert [device.access(shared.pages[0], address) for address in both] == expected
    assert call.unmap_device([reads]) == [OKAY]


def test_mappings_in_the_maptrack_are_accessible(device, granted, call, own_addresses):
    """A third mapping of a reference, and a mapping of a reference below 8."""
    shared = granted(1)
    domid, gref, _ = shared.references[0]
    shared.table.permit(7, 0, shared.frames[0])
    held = call.map_device(shared.to_map(0, 0))
    slow = call.map_device([(domid, gref), (domid, 7)])
    if own_addresses:
        assert all(REGION <= mapping.bus_addr < FAST for mapping in slow)
        assert all(mapping.bus_addr >= FAST for mapping in held)
    for mapping in slow:
        assert device.access(shared.pages[0], mapping.bus_addr) == "rw"
    assert call.unmap_device(held + slow[:1]) == [OKAY] * 3
    expected = "" if own_addresses else "rw"
    assert device.access(shared.pages[0], slow[0].bus_addr) == expected
    assert device.access(shared.pages[0], slow[1].bus_addr) == "rw"
    assert call.unmap_device(slow[1:]) == [OKAY]
    assert device.access(shared.pages[0], slow[1].bus_addr) == ""


@pytest.mark.parametrize("times", [1, 3])
def test_an_unmap_with_a_wrong_address_changes_nothing(device, granted, call, own_addresses, times):
    shared = granted(1)
    mappings = call.map_device(shared.to_map(*[0] * times))
    wrong = [shared.frames[0] << 12] if own_addresses else []
    for handle, bus_addr in mappings:
        wrong += [bus_addr + 4096, bus_addr + 8, bus_addr ^ 1 << 43]
        for address in wrong:
            assert call.unmap_device([GrantMapping(handle, address)]) == [GrantStatus.BAD_DEV_ADDR]
        assert device.access(shared.pages[0], bus_addr) == "rw"
    assert call.unmap_device(mappings) == [OKAY] * times
    assert device.access(shared.pages[0], mappings[-1].bus_addr) == ""
