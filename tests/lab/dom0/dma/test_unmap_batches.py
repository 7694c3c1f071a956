"""IOTLBs are flushed for every mapping of a batch of unmaps.

QEMU's VT-d caches translations per page until they are invalidated.
"""

import pytest
from dma_device import DEVICES, GRANTERS, WORD, Fault

from xenlib_cffi.errors import GrantStatus

MAX_BATCH = 64


@pytest.fixture(scope="module")
def pages(module_granter):
    """Pages for all batches, so that the IOMMU's page table for them stays in place.

    Replacing a page table would flush everything and hide missing flushes.
    """
    return module_granter(MAX_BATCH)


#: Xen flushes after every 32 unmaps
@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, MAX_BATCH])
def test_no_page_is_accessible_after_a_batch_of_unmaps(device, pages, call, count):
    mappings = call.map_device(pages.to_map(*range(count)))
    device.load_word(GRANTERS)  # DMA to each page, so that the IOTLBs cache the translations
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
