"""Engine `gntdev-copy`: xengnttab_grant_copy, as user-space backends copy that do not map."""

from collections.abc import Sequence

from xengt.bench.engines.copy import CopyEngine
from xengt.recovery.journal import Journal
from xengt.sharing.references import Reference
from xenlib_cffi.loop import LoopEngine, ThreadShare


class GntdevCopyEngine(CopyEngine):
    """Copies through Linux, from and to memory of this process.

    Args:
        readonly: has no effect, as copies to the granter need writable grants.
    """

    loop = LoopEngine.GNTDEV_COPY
    overhead_loop = LoopEngine.REFUSED_GNTDEV_COPY

    def prepare(
        self,
        journal: Journal,
        timed: Sequence[Sequence[Reference]],
        batch: int,
        held: Sequence[Reference],
    ) -> list[ThreadShare]:
        """Return the references: the loop allocates the memory."""
        del journal, batch, held
        return [ThreadShare(cpu, part) for cpu, part in enumerate(timed)]
