"""Engine `copy`: GNTTABOP_copy, issued by this process, from granted pages to own pages and back.

The hypercall copies to frames rather than addresses, so the own pages must stay at frames that are
known: they are pages of gntalloc, which dom0 shares with itself.
"""

from collections.abc import Sequence
from contextlib import ExitStack

from xengt.bench.engines.copying import CopyingEngine
from xengt.bench.engines.own_frames import find_frames
from xengt.recovery.journal import Journal
from xengt.sharing.gntalloc import granted_pages
from xengt.sharing.references import Reference
from xengt.xen.handle import DOM0
from xenlib_cffi.loop import LocalPages, LoopEngine, ThreadShare


class CopyEngine(CopyingEngine):
    """Copies by hypercall; nothing is mapped while the loop runs."""

    loop = LoopEngine.COPY
    overhead_loop = LoopEngine.REFUSED_COPY

    def __init__(self, readonly: bool) -> None:
        """Allocate nothing yet."""
        super().__init__(readonly)
        self._open = ExitStack()

    def prepare(
        self,
        journal: Journal,
        timed: Sequence[Sequence[Reference]],
        batch: int,
        held: Sequence[Reference],
    ) -> list[ThreadShare]:
        """Allocate a page for each operation of a batch of each thread."""
        del held
        pages = self._open.enter_context(granted_pages(DOM0, batch * len(timed)))
        frames = find_frames(pages, journal)
        return [
            ThreadShare(
                cpu,
                part,
                local=LocalPages(pages, cpu * batch, frames[cpu * batch : (cpu + 1) * batch]),
            )
            for cpu, part in enumerate(timed)
        ]

    def release(self, journal: Journal) -> None:
        """Free the pages."""
        del journal
        self._open.close()
