"""Engine `persistent`: copies from and to pages that stay mapped, as with persistent grants."""

from collections.abc import Sequence
from pathlib import Path

from xengt.bench.engines.copying import CopyingEngine
from xengt.errors import XengtError
from xengt.recovery.journal import Journal
from xengt.sharing.references import Reference
from xengt.sharing.refusal import explain_gntdev_error
from xengt.xen import preflight
from xenlib_cffi import device_paths
from xenlib_cffi.errors import GrantError, XenLibraryError
from xenlib_cffi.loop import LoopEngine, ThreadShare


class PersistentEngine(CopyingEngine):
    """Copies while each thread has mapped its references through gntdev, for as long as it runs."""

    loop = LoopEngine.PERSISTENT
    overhead_loop = LoopEngine.EMPTY

    @staticmethod
    def require() -> None:
        """Check that gntdev can be opened."""
        preflight.require_device(Path(device_paths.GNTDEV), "xen-gntdev")

    def prepare(
        self,
        journal: Journal,
        timed: Sequence[Sequence[Reference]],
        batch: int,
        held: Sequence[Reference],
    ) -> list[ThreadShare]:
        """Return the references of each thread."""
        self._references = [reference for part in timed for reference in part]
        return super().prepare(journal, timed, batch, held)

    def explain(self, error: GrantError | XenLibraryError, journal: Journal) -> XengtError:
        """Find the reference that Xen refuses, which gntdev does not report."""
        return explain_gntdev_error(
            error, self._references, readonly=False, record=journal.record_each
        )
