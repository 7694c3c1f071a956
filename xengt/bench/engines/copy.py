"""Engine `copy`: GNTTABOP_copy, issued by this process, from granted pages to own pages and back.

The hypercall copies to frames rather than addresses, so the own pages must stay at frames that are
known: they are pages of gntalloc, which dom0 shares with itself.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from xengt.bench.engines.copying import CopyingEngine
from xengt.bench.engines.own_frames import find_frames
from xengt.errors import UnmetError
from xengt.recovery.journal import Journal
from xengt.sharing.gntalloc import granted_pages
from xengt.sharing.references import Reference
from xengt.xen import kernel, preflight
from xengt.xen.handle import DOM0
from xenlib_cffi import device_paths
from xenlib_cffi.loop import LocalPages, LoopEngine, ThreadShare


class CopyEngine(CopyingEngine):
    """Copies by hypercall; nothing is mapped while the loop runs."""

    loop = LoopEngine.COPY
    overhead_loop = LoopEngine.REFUSED_COPY

    @staticmethod
    def require() -> None:
        """Check that gntalloc can be opened, and that the frames of its pages are visible."""
        preflight.require_device(Path(device_paths.GNTALLOC), "xen-gntalloc")
        kind = kernel.dom0_kind()
        if kind not in {"PV", None} and not kernel.sees_page_frames():
            raise UnmetError(
                f"dom0 is {kind}, and Linux hides from this process the frames of its own pages, "
                "which the engine copy needs",
                "run xengt as root with CAP_SYS_ADMIN, which the agent does not have, or use "
                "another engine",
            )

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
