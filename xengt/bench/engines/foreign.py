"""Engine `foreign`: libxenforeignmemory, which maps pages by their frame, without grants.

Only dom0 may do that. A backend that maps all of a guest's memory pays this price once.
"""

from collections.abc import Sequence

from xengt.errors import FailedError, UnmetError, XengtError
from xengt.recovery.journal import Journal
from xengt.sharing.references import Reference
from xengt.xen.unstable import unless_other_version
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import GrantError, XenLibraryError
from xenlib_cffi.foreignmemory import ForeignMemory
from xenlib_cffi.loop import LoopEngine, ThreadShare


class ForeignEngine:
    """Maps the frames that the granter's table has for the references.

    Args:
        readonly: has no effect here: the loop maps read-only or writable.
    """

    loop = LoopEngine.FOREIGN
    overhead_loop = LoopEngine.REFUSED_FOREIGN
    operations = ("map", "unmap")

    @staticmethod
    def require() -> None:
        """Accept every dom0."""

    def __init__(self, readonly: bool) -> None:
        """Map nothing yet."""
        del readonly

    def prepare(
        self,
        journal: Journal,
        timed: Sequence[Sequence[Reference]],
        batch: int,
        held: Sequence[Reference],
    ) -> list[ThreadShare]:
        """Read the frame of each reference from the granter's table.

        Raises:
            UnmetError: the granter's table has version 2.
        """
        del journal, batch, held
        domid = timed[0][0].domid
        with Ctrl() as ctrl:
            # A libxenctrl of another version than Xen cannot ask; Linux uses version 1.
            version = unless_other_version(lambda: ctrl.grant_version(domid))
            if version not in {None, 1}:
                raise UnmetError(
                    f"the engine foreign cannot read the grant table of domain {domid}: it has "
                    f"version {version}",
                    "use --granter empty, or another engine",
                )
            frames, _ = ctrl.grant_size(domid)
        with ForeignMemory() as memory, memory.grant_table(domid, frames, writable=False) as table:
            return [
                ThreadShare(cpu, part, frames=[table[gref].frame for _, gref, _ in part])
                for cpu, part in enumerate(timed)
            ]

    def release(self, journal: Journal) -> None:
        """Do nothing: nothing stays mapped after the loop."""
        del journal

    def explain(self, error: GrantError | XenLibraryError, journal: Journal) -> XengtError:
        """Say what the user can change."""
        del journal
        if isinstance(error, GrantError):
            return FailedError(
                str(error),
                "the granter granted another page meanwhile: restart `xengt share` there",
            )
        return FailedError(str(error), "see `dmesg` for messages of privcmd, and `xl dmesg`")
