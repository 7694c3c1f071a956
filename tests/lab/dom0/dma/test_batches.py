"""No IOTLB has a mapping that is gone, wherever it was in a batch of unmaps.

QEMU's VT-d does remember what it has translated, each page apart, until it is told to forget.
"""

import pytest
from reach import DEVICES, GRANTERS, WORD, Fault

from xenlib_cffi.errors import GrantStatus


#: what Xen unmaps before it flushes is 32
@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 64])
def test_none_of_a_batch_is_reached_afterwards(device, granted, call, count):
    there = granted(count)
    mappings = call.map_device(there.wanted())
    device.take(GRANTERS)  # by the device, so that IOTLBs know them
    for mapping in mappings:
        device.edu.store(mapping.bus_addr, WORD)
    assert {bytes(page[:WORD]) for page in there.pages} == {GRANTERS}
    assert call.unmap_device(mappings) == [GrantStatus.OKAY] * count
    device.take(DEVICES)
    for mapping in mappings:
        device.edu.store(mapping.bus_addr, WORD)
    reached = [at for at, page in enumerate(there.pages) if bytes(page[:WORD]) == DEVICES]
    assert reached == []
    expected = [Fault("Write", mapping.bus_addr) for mapping in mappings]
    assert device.faults(count) == expected
    assert device.edu.masters
