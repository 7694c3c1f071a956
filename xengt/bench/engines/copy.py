"""Engine `copy`: GNTTABOP_copy, issued by this process, from granted pages to own pages and back.

The hypercall copies to frames rather than addresses, so the own pages must stay at frames that are
known: they are pages of gntalloc, which dom0 shares with itself.
"""

from collections.abc import Sequence
from contextlib import ExitStack

from xengt.bench.engines.own_frames import find_frames
from xengt.errors import FailedError, XengtError
from xengt.recovery.journal import Journal
from xengt.sharing.gntalloc import granted_pages
from xengt.sharing.references import Reference
from xengt.sharing.refusal import explain_refusal
from xengt.xen.handle import DOM0
from xenlib_cffi.errors import GrantError, XenLibraryError
from xenlib_cffi.loop import LocalPages, LoopEngine, ThreadShare


class CopyEngine:
    """Copies by hypercall; nothing is mapped while the loop runs.

    Args:
        readonly: has no effect, as copies to the granter need writable grants.
    """

    loop = LoopEngine.COPY
    overhead_loop = LoopEngine.REFUSED_COPY
    operations = ("copy from granter", "copy to granter")

    def __init__(self, readonly: bool) -> None:
        """Allocate nothing yet."""
        del readonly
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

    def explain(self, error: GrantError | XenLibraryError) -> XengtError:
        """Explain an error with Xen's status in words."""
        if isinstance(error, GrantError) and error.status is not None:
            return explain_refusal(error)
        return FailedError(str(error), "see `xl dmesg`")
