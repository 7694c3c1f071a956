"""`GNTTABOP_map_grant_ref` and `unmap_grant_ref`, issued by this process itself.

Device maps only: no page table is touched, Linux need not know, and what is
timed is the grant table's own path.
"""

import struct
from collections.abc import Sequence

from xengt.errors import FailedError, XengtError
from xengt.recovery.journal import Journal, Writer
from xengt.sharing import refusal
from xengt.sharing.references import Reference
from xenlib_cffi.call import MAX_BATCH, Call, GrantMapping
from xenlib_cffi.errors import GrantError, GrantStatus, XenLibraryError, status_text
from xenlib_cffi.loop import LoopEngine, ThreadShare


class HypercallEngine:
    """Maps by hypercall; every mapping is in the journal while it exists.

    Args:
        readonly: hold mappings for reading alone.
    """

    loop = LoopEngine.HYPERCALL
    floor = LoopEngine.REFUSED_HYPERCALL
    operations = ("map", "unmap")

    def __init__(self, readonly: bool) -> None:
        """Open privcmd."""
        self._readonly = readonly
        self._call = Call()
        self._held: list[GrantMapping] = []

    def shares(
        self,
        journal: Journal,
        parts: Sequence[Sequence[Reference]],
        batch: int,
        held: Sequence[Reference],
    ) -> list[ThreadShare]:
        """Write the journal, then map what is held."""
        holder, *cursors = journal.begin(
            [Writer(held, MAX_BATCH), *(Writer(part, batch) for part in parts)], len(held)
        )
        for start in range(0, len(held), MAX_BATCH):
            struct.pack_into("<Q", holder, 0, start + 1)
            references = [(domid, gref) for domid, gref, _ in held[start : start + MAX_BATCH]]
            try:
                mapped = self._call.map_device(references, readonly=self._readonly)
            except GrantError:
                # It has unmapped them all: there is nothing to search for.
                struct.pack_into("<Q", holder, 0, 0)
                raise
            self._held += mapped
            journal.hold(mapped)
            struct.pack_into("<Q", holder, 0, 0)
        return [
            ThreadShare(cpu, part, cursor)
            for cpu, (part, cursor) in enumerate(zip(parts, cursors, strict=True))
        ]

    def release(self, journal: Journal) -> None:
        """Unmap what is held, and strike it from the journal."""
        with self._call:
            statuses = self._call.unmap_device(self._held)
        refused = [status for status in statuses if status != GrantStatus.OKAY]
        if refused:
            raise FailedError(
                f"{len(refused)} of {len(statuses)} held mappings cannot be unmapped: "
                f"{status_text(refused[0])}",
                "find who else unmaps handles of dom0: xl debug-keys g, then xl dmesg",
            )
        journal.released()

    def explain(self, error: GrantError | XenLibraryError) -> XengtError:
        """Say it in Xen's words."""
        if isinstance(error, GrantError):
            return refusal.explain_refusal(error)
        return FailedError(str(error), "see `xl dmesg`")
