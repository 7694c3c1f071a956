"""Granters without a guest OS: domains of ours whose grant tables are written from dom0.

Upstream's tools/tests/resource/test-resource.c shows the method. No kernel, no
gntalloc and no limit but memory: as many domains and references as are wanted.
"""

import errno
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

from xengt.errors import UnmetError
from xengt.recovery import domain_owner
from xengt.recovery.empty_domains import destroy_domains
from xengt.sharing.references import Reference, pattern, stamp
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import XenLibraryError
from xenlib_cffi.foreignmemory import ENTRIES_PER_FRAME, ForeignMemory

#: the first references are the toolstack's in any domain (xen/grant_table.h)
FIRST_GREF = 8
#: the domain that may map
DOM0 = 0

_MORE_MEMORY = "ask for fewer --granters or --references, or give dom0 less memory (dom0_mem=)"


class EmptyDomains:
    """Some domains, each granting pages of its own to dom0.

    Args:
        count: of domains.
    """

    name = "empty"
    writable = True

    def __init__(self, count: int) -> None:
        """Only remember it: domains are made when references are asked for."""
        self._count = count
        self._domids: list[int] = []

    def references(self, count: int) -> Sequence[Reference]:
        """Create the domains, and grant `count` pages, equally many of each.

        Raises:
            UnmetError: the host has not that much memory, or runs no PV domains.
        """
        if count > (free := self._ctrl.physinfo().free_pages):
            raise UnmetError(
                f"{count} pages of empty domains are more than the {free} that Xen has free",
                _MORE_MEMORY,
            )
        each = -(-count // self._count)
        references: list[Reference] = []
        for _ in range(self._count):
            references += self._create(each)
        return references

    def _create(self, pages: int) -> list[Reference]:
        frames = -(-(FIRST_GREF + pages) // ENTRIES_PER_FRAME)
        try:
            domid = self._ctrl.create_empty(domain_owner.uuid(), frames)
            # Before anything else can fail: it is destroyed when this granter is left.
            self._domids.append(domid)
            mfns = self._ctrl.populate(domid, pages)
        except XenLibraryError as error:
            more = f"Xen has {self._ctrl.physinfo().free_pages} free pages: {_MORE_MEMORY}"
            remedies = {
                # Until Xen 4.17 a domain could not have more frames than the boot option says.
                errno.EINVAL: f"it takes {frames} grant frames: raise gnttab_max_frames on Xen's "
                "command line, or ask for more --granters with fewer --references each",
                errno.EOPNOTSUPP: "this Xen is built without PV domains: use --granter guest",
            }
            raise UnmetError(
                f"an empty domain of {pages} pages cannot be made: {error}",
                remedies.get(error.errno or 0, more),
            ) from error
        references = [
            Reference(domid, gref, pattern(domid, gref))
            for gref in range(FIRST_GREF, FIRST_GREF + pages)
        ]
        with self._memory.map(domid, mfns) as mapped:
            for index, reference in enumerate(references):
                stamp(memoryview(mapped.page(index)), domid, reference.gref)
        with self._memory.grant_table(domid, frames) as table:
            for reference, mfn in zip(references, mfns, strict=True):
                table.permit(reference.gref, DOM0, mfn)
        return references

    def __enter__(self) -> Self:
        """Open Xen's libraries."""
        with ExitStack() as stack:
            self._ctrl = stack.enter_context(Ctrl())
            self._memory = stack.enter_context(ForeignMemory())
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Destroy the domains and see them gone.

        Raises:
            FailedError: one stays, dying: something still maps its pages.
        """
        with self._open:
            destroy_domains(self._ctrl, self._domids)
