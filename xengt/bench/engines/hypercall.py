"""Engine `hypercall`: GNTTABOP_map_grant_ref and GNTTABOP_unmap_grant_ref, issued by this process.

All mappings are device maps: they change no page table and Linux need not
know of them, so the times are those of the grant table's own code.
"""

import struct
from collections.abc import Sequence

from xengt.errors import FailedError, UnmetError, XengtError
from xengt.recovery.journal import Journal, Writer
from xengt.sharing.references import Reference
from xengt.sharing.refusal import explain_refusal
from xengt.xen import kernel
from xenlib_cffi.call import MAX_BATCH, Call, GrantMapping
from xenlib_cffi.errors import GrantError, GrantStatus, XenLibraryError, status_text
from xenlib_cffi.loop import LoopEngine, ThreadShare


class HypercallEngine:
    """Maps by hypercall; the journal records every mapping while it exists.

    Args:
        readonly: whether held references are mapped read-only.
    """

    loop = LoopEngine.HYPERCALL
    overhead_loop = LoopEngine.REFUSED_HYPERCALL
    operations = ("map", "unmap")

    @staticmethod
    def require() -> None:
        """Check that Xen accepts device maps of this kind of dom0."""
        kind = kernel.dom0_kind()
        if kind not in {"PV", None}:
            raise UnmetError(
                f"dom0 is {kind}, in which Xen rejects the device maps of the hypercall engine",
                "use the engine gntdev (bench: --engine gntdev; serve: probe.engines), or boot a "
                "PV dom0 (dom0=pv on Xen's command line)",
            )

    def __init__(self, readonly: bool) -> None:
        """Open /dev/xen/privcmd."""
        self._readonly = readonly
        self._call = Call()
        self._held: list[GrantMapping] = []

    def prepare(
        self,
        journal: Journal,
        timed: Sequence[Sequence[Reference]],
        batch: int,
        held: Sequence[Reference],
    ) -> list[ThreadShare]:
        """Write the journal, then map the held references."""
        holder, *cursors = journal.begin(
            [Writer(held, MAX_BATCH), *(Writer(part, batch) for part in timed)], len(held)
        )
        for start in range(0, len(held), MAX_BATCH):
            struct.pack_into("<Q", holder, 0, start + 1)
            references = [(domid, gref) for domid, gref, _ in held[start : start + MAX_BATCH]]
            try:
                mapped = self._call.map_device(references, readonly=self._readonly)
            except GrantError:
                # map_device() has unmapped the rest of the batch: nothing is left to search for.
                struct.pack_into("<Q", holder, 0, 0)
                raise
            self._held += mapped
            journal.hold(mapped)
            struct.pack_into("<Q", holder, 0, 0)
        return [
            ThreadShare(cpu, part, cursor)
            for cpu, (part, cursor) in enumerate(zip(timed, cursors, strict=True))
        ]

    def release(self, journal: Journal) -> None:
        """Unmap the held references, and remove them from the journal."""
        with self._call:
            statuses = self._call.unmap_device(self._held)
        refused = [status for status in statuses if status != GrantStatus.OKAY]
        if refused:
            raise FailedError(
                f"Xen refused to unmap {len(refused)} of {len(statuses)} held mappings: "
                f"{status_text(refused[0])}",
                "another program in dom0 may have unmapped them: "
                "`xengt usage --from-console` lists the remaining mappings",
            )
        journal.clear_held()

    def explain(self, error: GrantError | XenLibraryError, journal: Journal) -> XengtError:
        """Explain an error with Xen's status in words."""
        del journal
        if isinstance(error, GrantError):
            return explain_refusal(error)
        return FailedError(str(error), "see `xl dmesg`")
