"""libxengnttab on /dev/xen/gntdev: what user-space backends really do.

Linux gives a mapping back some time after it was asked (since 5.19), so the
time of an unmap is the caller's; the results say so.
"""

from collections.abc import Sequence

from xengt.errors import FailedError, XengtError
from xengt.recovery.journal import Journal
from xengt.sharing import refusal
from xengt.sharing.references import Reference
from xenlib_cffi.call import MAX_BATCH
from xenlib_cffi.errors import GrantError, XenLibraryError
from xenlib_cffi.gnttab import GrantMapper
from xenlib_cffi.library import Pages
from xenlib_cffi.loop import LoopEngine, ThreadShare


class GntdevEngine:
    """Maps through Linux, which takes everything back when the process ends.

    Args:
        readonly: hold mappings for reading alone.
    """

    loop = LoopEngine.GNTDEV
    floor = LoopEngine.REFUSED_GNTDEV
    operations = ("map", "unmap (asynchronous)")

    def __init__(self, readonly: bool) -> None:
        """Open gntdev."""
        self._readonly = readonly
        self._mapper = GrantMapper()
        self._held: list[Pages] = []
        self._tried: list[Reference] = []

    def shares(
        self,
        journal: Journal,
        parts: Sequence[Sequence[Reference]],
        batch: int,
        held: Sequence[Reference],
    ) -> list[ThreadShare]:
        """Map what is held; the journal has nothing to remember."""
        del journal, batch
        self._tried = [*held, *(reference for part in parts for reference in part)]
        for start in range(0, len(held), MAX_BATCH):
            references = [(domid, gref) for domid, gref, _ in held[start : start + MAX_BATCH]]
            self._held.append(self._mapper.map(references, readonly=self._readonly))
        return [ThreadShare(cpu, part) for cpu, part in enumerate(parts)]

    def release(self, journal: Journal) -> None:
        """Unmap what is held."""
        del journal
        for pages in self._held:
            pages.release()
        self._held = []
        self._mapper.close()

    def explain(self, error: GrantError | XenLibraryError) -> XengtError:
        """Ask Xen itself which reference it refuses, since gntdev does not tell."""
        if isinstance(error, GrantError):
            return FailedError(
                str(error), "the granter has changed the page, or granted another in its place"
            )
        refused = refusal.find_refusal(self._tried, readonly=self._readonly)
        if refused is not None:
            return refusal.explain_refusal(refused)
        return FailedError(str(error), "see `dmesg` for what gntdev says, and `xl dmesg`")
