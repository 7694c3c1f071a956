"""Fixtures of the DMA tests: a device, and pages granted to dom0."""

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
    """References of one granter, and their pages.

    Args:
        references: the references.
        pages: their pages, mapped as the granter's memory rather than through a grant.
        frames: their machine frames.
        table: the grant table of the granter.
    """

    references: list[Reference]
    pages: list[memoryview]
    frames: list[int]
    table: GrantTable

    def to_map(self, *indexes: int) -> list[tuple[int, int]]:
        """Return (domid, gref) of the references with these indexes, or of all."""
        chosen = [self.references[index] for index in indexes] or self.references
        return [(domid, gref) for domid, gref, _ in chosen]


@contextmanager
def granters() -> Iterator[Callable[[int], GrantedPages]]:
    """Yield a function that creates a granter with `count` pages; destroys all at the end."""
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
    """Creates granters that are destroyed after the test."""
    with granters() as grant:
        yield grant


@pytest.fixture(scope="module")
def module_granter():
    """Creates granters that are destroyed after the module."""
    with granters() as grant:
        yield grant


@pytest.fixture
def device(enabled_device):
    """The device, with Xen's log cleared."""
    enabled_device.ctrl.console(clear=True)
    return enabled_device


@pytest.fixture(scope="session")
def enabled_device():
    """The device, enabled, with a page for its data."""
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
    """Whether each mapping has a separate bus address, instead of its page's machine address."""
    with Ctrl() as ctrl:
        return "gnttab=bus-region" in ctrl.version().commandline
