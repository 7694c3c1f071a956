"""Engine `persistent`: copies from and to pages that stay mapped, as with persistent grants."""

from collections.abc import Sequence

from xengt.errors import XengtError
from xengt.recovery.journal import Journal
from xengt.sharing.references import Reference
from xengt.sharing.refusal import explain_gntdev_error
from xenlib_cffi.errors import GrantError, XenLibraryError
from xenlib_cffi.loop import LoopEngine, ThreadShare


class PersistentEngine:
    """Maps all references once through gntdev; Linux unmaps them when the process ends.

    Args:
        readonly: has no effect, as copies to the granter need writable mappings.
    """

    loop = LoopEngine.PERSISTENT
    overhead_loop = LoopEngine.EMPTY
    operations = ("copy from granter", "copy to granter")

    def __init__(self, readonly: bool) -> None:
        """Map nothing yet: each thread of the loop maps its references before it starts."""
        del readonly
        self._references: list[Reference] = []

    def prepare(
        self,
        journal: Journal,
        timed: Sequence[Sequence[Reference]],
        batch: int,
        held: Sequence[Reference],
    ) -> list[ThreadShare]:
        """Return the references of each thread."""
        del journal, batch, held
        self._references = [reference for part in timed for reference in part]
        return [ThreadShare(cpu, part) for cpu, part in enumerate(timed)]

    def release(self, journal: Journal) -> None:
        """Do nothing: the threads have unmapped their references."""
        del journal

    def explain(self, error: GrantError | XenLibraryError) -> XengtError:
        """Find the reference that Xen refuses, which gntdev does not report."""
        return explain_gntdev_error(error, self._references, readonly=False)
