"""What the engines that copy have in common."""

from collections.abc import Sequence

from xengt.errors import FailedError, XengtError
from xengt.recovery.journal import Journal
from xengt.sharing.references import Reference
from xengt.sharing.refusal import explain_refusal
from xenlib_cffi.errors import GrantError, XenLibraryError
from xenlib_cffi.loop import ThreadShare


class CopyingEngine:
    """Copies in both directions, and holds no mappings; subclasses name the loops.

    Args:
        readonly: has no effect, as copies to the granter need writable grants.
    """

    operations = ("copy from granter", "copy to granter")

    def __init__(self, readonly: bool) -> None:
        """Prepare nothing yet."""
        del readonly

    def prepare(
        self,
        journal: Journal,
        timed: Sequence[Sequence[Reference]],
        batch: int,
        held: Sequence[Reference],
    ) -> list[ThreadShare]:
        """Return the references of each thread, which allocates its memory itself."""
        del journal, batch, held
        return [ThreadShare(cpu, part) for cpu, part in enumerate(timed)]

    def release(self, journal: Journal) -> None:
        """Do nothing: the threads have freed what they allocated."""
        del journal

    def explain(self, error: GrantError | XenLibraryError, journal: Journal) -> XengtError:
        """Explain an error with Xen's status in words."""
        del journal
        if isinstance(error, GrantError) and error.status is not None:
            return explain_refusal(error)
        return FailedError(str(error), "see `dmesg`, and `xl dmesg`")
