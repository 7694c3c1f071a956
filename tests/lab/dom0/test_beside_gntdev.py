"""A page that is mapped by hypercall while Linux maps it through gntdev."""

import time

import pytest
from patience import patient

from xenlib_cffi.gnttab import GrantMapper

#: first fast handle; handles of the maptrack, and all handles on stock, are lower
FAST = 1 << 31


def wait_until_marked(table, gref: int, *, in_use: bool) -> bool:
    """Wait until Xen's marks of a reference are as expected; returns whether they are."""
    deadline = time.monotonic() + patient(300)
    while table.in_use(gref) != in_use and time.monotonic() < deadline:
        time.sleep(0.05)
    return table.in_use(gref) == in_use


@pytest.mark.parametrize("last", ["gntdev", "hypercall"])
@pytest.mark.parametrize("first", ["gntdev", "hypercall"])
def test_map_and_unmap_in_all_orders(empty, call, memory, first, last):
    domid, gref = empty[0].domid, empty[0].gref
    with memory.grant_table(domid, 1, writable=False) as table, GrantMapper() as mapper:
        pages = mapper.map([(domid, gref)]) if first == "gntdev" else None
        # With three mappings, one does not fit into the granter's active entry in any order.
        held = call.map_device([(domid, gref)] * 3)
        pages = pages or mapper.map([(domid, gref)])
        assert bytes(pages.page(0)[:8]) == empty[0].pattern.to_bytes(8, "little")
        assert held[2].handle < FAST
        if last == "gntdev":
            assert call.unmap_device(held) == [0, 0, 0]
            assert table.in_use(gref)
            assert bytes(pages.page(0)[:8]) == empty[0].pattern.to_bytes(8, "little")
            pages.release()
        else:
            pages.release()
            time.sleep(0.2)
            assert wait_until_marked(table, gref, in_use=True)
            assert call.unmap_device(held) == [0, 0, 0]
        assert wait_until_marked(table, gref, in_use=False)
        assert not table.in_use(empty[1].gref)
