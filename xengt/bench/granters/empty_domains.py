"""Granter `empty`: domains without a guest OS, whose grant tables are written from dom0.

Xen's tools/tests/resource/test-resource.c uses the same method. It needs neither
a guest kernel nor gntalloc; only memory limits the number of references.
"""

import errno
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

from xengt.bench.case import EMPTY_GRANTER
from xengt.bench.granters.toolstack import ToolstackAnswers
from xengt.errors import UnmetError
from xengt.recovery import domain_owner
from xengt.recovery.domain_destruction import destroy_domains
from xengt.sharing.references import Reference, pattern, stamp
from xengt.xen.grant_table import FIRST_GREF
from xengt.xen.handle import DOM0
from xengt.xen.unstable import unless_other_version
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import XenLibraryError
from xenlib_cffi.foreignmemory import ENTRIES_PER_FRAME, ForeignMemory

_MORE_MEMORY = "lower --granters or --references, or give dom0 less memory (dom0_mem=)"


class EmptyDomains:
    """Creates empty domains that grant their pages to dom0.

    Args:
        count: number of domains.
    """

    name = EMPTY_GRANTER
    writable = True

    def __init__(self, count: int) -> None:
        """Remember the number; the domains are created with their references."""
        self._count = count
        self._domids: list[int] = []

    def references(self, count: int) -> Sequence[Reference]:
        """Create the domains; each grants the same number of pages, at least `count` in total.

        Raises:
            UnmetError: the host has too little memory, or Xen supports no PV domains.
        """
        machine = unless_other_version(self._ctrl.physinfo)
        if machine is None or unless_other_version(lambda: list(self._ctrl.domains())) is None:
            raise UnmetError(
                "empty domains cannot be created: libxenctrl has another version than the running "
                "Xen",
                "use --granter self, or install the libxenctrl of the version that `xengt check` "
                "prints",
            )
        if not machine.pv:
            raise UnmetError(
                "this Xen was built without support for PV domains, which empty domains are",
                "with `xengt bench`, use --granter guest; with `xengt serve`, set probe.enabled = "
                "false; or boot a Xen that is built with CONFIG_PV=y",
            )
        if count > (free := machine.free_pages):
            raise UnmetError(
                f"empty domains of {count} pages need more than the {free} free pages of this host",
                _MORE_MEMORY,
            )
        each = -(-count // self._count)
        references: list[Reference] = []
        for _ in range(self._count):
            references += self._create(each)
        answers = ToolstackAnswers(self._domids)
        # On exit, the names are removed before the domains are destroyed.
        self._open.callback(answers.stop)
        answers.start()
        return references

    def exist(self) -> bool:
        """Return whether nobody has destroyed any of the domains, as `xl destroy` does."""
        return len(domain_owner.existing(self._ctrl, self._domids)) == len(self._domids)

    def _create(self, pages: int) -> list[Reference]:
        frames = -(-(FIRST_GREF + pages) // ENTRIES_PER_FRAME)
        try:
            domid = self._ctrl.create_empty(domain_owner.uuid(), frames)
            # At once, so that __exit__() destroys the domain whatever fails next.
            self._domids.append(domid)
            mfns = self._ctrl.populate(domid, pages)
        except XenLibraryError as error:
            more = f"Xen has {self._ctrl.physinfo().free_pages} free pages: {_MORE_MEMORY}"
            remedies = {
                # Until Xen 4.17 the boot option limits every domain.
                errno.EINVAL: f"it needs {frames} grant frames: raise gnttab_max_frames on Xen's "
                "command line, or use more --granters with fewer --references",
            }
            raise UnmetError(
                f"cannot create an empty domain of {pages} pages: {error}",
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
            stack.callback(self._destroy)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Destroy the domains and wait until Xen no longer lists them.

        Raises:
            FailedError: a domain stays dying because something still maps its pages.
        """
        self._open.close()

    def _destroy(self) -> None:
        if not self._domids:
            return
        destroy_domains(self._ctrl, domain_owner.existing(self._ctrl, self._domids))
