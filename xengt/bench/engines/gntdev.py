"""Engine `gntdev`: libxengnttab on /dev/xen/gntdev, as user-space backends use it.

Since Linux 5.19 gntdev may complete an unmap after the call has returned, so
the time of an unmap is the caller's; the name of the operation says so.
"""

from collections.abc import Sequence
from pathlib import Path

from xengt.errors import XengtError
from xengt.recovery.journal import Journal
from xengt.sharing.references import Reference
from xengt.sharing.refusal import explain_gntdev_error
from xengt.xen import preflight
from xenlib_cffi import device_paths
from xenlib_cffi.call import MAX_BATCH
from xenlib_cffi.errors import GrantError, XenLibraryError
from xenlib_cffi.gnttab import GrantMapper
from xenlib_cffi.library import Pages
from xenlib_cffi.loop import LoopEngine, ThreadShare


class GntdevEngine:
    """Maps through Linux, which unmaps everything when the process ends.

    Args:
        readonly: whether held references are mapped read-only.
    """

    loop = LoopEngine.GNTDEV
    overhead_loop = LoopEngine.REFUSED_GNTDEV
    operations = ("map", "unmap (asynchronous)")

    @staticmethod
    def require() -> None:
        """Check that gntdev can be opened."""
        preflight.require_device(Path(device_paths.GNTDEV), "xen-gntdev")

    def __init__(self, readonly: bool) -> None:
        """Open /dev/xen/gntdev."""
        self._readonly = readonly
        self._mapper = GrantMapper()
        self._held: list[Pages] = []
        self._references: list[Reference] = []

    def prepare(
        self,
        journal: Journal,
        timed: Sequence[Sequence[Reference]],
        batch: int,
        held: Sequence[Reference],
    ) -> list[ThreadShare]:
        """Map the held references; nothing needs to be recorded in the journal."""
        del journal, batch
        self._references = [*held, *(reference for part in timed for reference in part)]
        for start in range(0, len(held), MAX_BATCH):
            references = [(domid, gref) for domid, gref, _ in held[start : start + MAX_BATCH]]
            self._held.append(self._mapper.map(references, readonly=self._readonly))
        return [ThreadShare(cpu, part) for cpu, part in enumerate(timed)]

    def release(self, journal: Journal) -> None:
        """Unmap the held references."""
        del journal
        for pages in self._held:
            pages.release()
        self._held = []
        self._mapper.close()

    def explain(self, error: GrantError | XenLibraryError, journal: Journal) -> XengtError:
        """Find the reference that Xen refuses, which gntdev does not report."""
        return explain_gntdev_error(
            error, self._references, readonly=self._readonly, record=journal.record_each
        )
