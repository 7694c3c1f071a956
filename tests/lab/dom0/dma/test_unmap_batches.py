"""No IOTLB has a mapping that is gone, wherever it was in a batch of unmaps.

QEMU's VT-d does remember what it has translated, each page apart, until it is told to forget.
"""

import pytest
from dma_device import DEVICES, GRANTERS, WORD, Fault

from xenlib_cffi.errors import GrantStatus

MAX_BATCH = 64


@pytest.fixture(scope="module")
def pages(module_granter):
    """The same for all batches.

    The IOMMU's table for them stays in its place then. A table that has to go for another has
    everything forgotten, and that would hide what is not flushed.
    """
    return module_granter(MAX_BATCH)


#: what Xen unmaps before it flushes is 32
@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, MAX_BATCH])
def test_none_of_a_batch_is_reached_afterwards(device, pages, call, count):
    mappings = call.map_device(pages.to_map(*range(count)))
    device.load_word(GRANTERS)  # by the device, so that IOTLBs know them
    for mapping in mappings:
        device.edu.store(mapping.bus_addr, WORD)
    assert {bytes(page[:WORD]) for page in pages.pages[:count]} == {GRANTERS}
    assert call.unmap_device(mappings) == [GrantStatus.OKAY] * count
    device.load_word(DEVICES)
    for mapping in mappings:
        device.edu.store(mapping.bus_addr, WORD)
    reached = [at for at, page in enumerate(pages.pages) if bytes(page[:WORD]) == DEVICES]
    assert reached == []
    assert device.reports_faults(*(Fault("Write", mapping.bus_addr) for mapping in mappings))
    assert device.edu.bus_master
