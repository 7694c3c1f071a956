"""A device and pages granted to dom0, for the tests of what the one reaches of the others."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import pytest
from dma_device import Device
from edu import Edu

from xengt.bench.granters.empty_domains import EmptyDomains
from xengt.sharing.references import Reference
from xenlib_cffi.call import Call
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.foreignmemory import ForeignMemory, GrantTable


class GrantedPages(NamedTuple):
    """References of one domain, and what they are of.

    Args:
        references: each.
        pages: as the granter's, not through a grant.
        frames: the machine frame of each.
        table: the granter's.
    """

    references: list[Reference]
    pages: list[memoryview]
    frames: list[int]
    table: GrantTable

    def to_map(self, *indexes: int) -> list[tuple[int, int]]:
        """What to map: some of the references, or all."""
        chosen = [self.references[index] for index in indexes] or self.references
        return [(domid, gref) for domid, gref, _ in chosen]


@contextmanager
def granters() -> Iterator[Callable[[int], GrantedPages]]:
    """Makes domains that each grant so many pages, and takes them away."""
    with ExitStack() as stack:
        memory = stack.enter_context(ForeignMemory())

        def grant(count: int) -> GrantedPages:
            references = list(stack.enter_context(EmptyDomains(1)).references(count))
            domid = references[0].domid
            table = stack.enter_context(memory.grant_table(domid, 1))
            frames = [table[gref].frame for _, gref, _ in references]
            mapped = stack.enter_context(memory.map(domid, frames))
            pages = [memoryview(mapped.page(index)) for index in range(count)]
            return GrantedPages(references, pages, frames, table)

        yield grant


@pytest.fixture
def granted():
    """Makes domains for a test."""
    with granters() as grant:
        yield grant


@pytest.fixture(scope="module")
def module_granter():
    """Makes domains for the tests of a module."""
    with granters() as grant:
        yield grant


@pytest.fixture
def device(enabled_device):
    """The device; Xen's log is empty."""
    enabled_device.ctrl.console(clear=True)
    return enabled_device


@pytest.fixture(scope="session")
def enabled_device():
    """The device, switched on, with a page of its own."""
    with ExitStack() as stack:
        edu, ctrl, call, memory, domains = (
            stack.enter_context(each)
            for each in (Edu(), Ctrl(), Call(), ForeignMemory(), EmptyDomains(1))
        )
        ((domid, gref, _),) = domains.references(1)
        with memory.grant_table(domid, 1) as table:
            frame = table[gref].frame
        page = stack.enter_context(memory.map(domid, [frame])).page(0)
        (mapping,) = call.map_device([(domid, gref)])
        stack.callback(call.unmap_device, [mapping])
        yield Device(edu, ctrl, memoryview(page), mapping.bus_addr)


@pytest.fixture(scope="session")
def own_addresses():
    """Whether each mapping has a bus address of its own, rather than its page's."""
    with Ctrl() as ctrl:
        return "gnttab=bus-region" in ctrl.version().commandline
