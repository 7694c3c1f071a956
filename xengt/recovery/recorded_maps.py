"""The journal of a command that maps by hypercall only to explain an error, such as `xengt map`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from xengt.errors import XengtError
from xengt.recovery import sweep
from xengt.recovery.journal import open_journal
from xengt.sharing.references import Reference
from xenlib_cffi.errors import BindingError

_LOCK_TIMEOUT_S = 2.0
"""Seconds to wait for a round of the agent's probe, which holds the journal briefly."""


@contextmanager
def record_maps(references: Sequence[Reference]) -> Iterator[Callable[[int], None]]:
    """Open the journal, and record references that are mapped one at a time.

    A mapping that exists when the context ends, because a signal ended the command for example, is
    removed.

    Args:
        references: the references, in the order in which they are mapped.

    Yields:
        The function of `Journal.record_each`.

    Raises:
        BusyError: another process holds the journal.
        UnmetError: the journal cannot be opened or written, or has mappings of a killed run.
    """
    with (
        open_journal(timeout_s=_LOCK_TIMEOUT_S) as journal,
        journal.record_each(references) as mark,
    ):
        try:
            yield mark
        finally:
            if journal.read().mapped:
                # The command reports its own error; the next run cleans up what remains.
                with suppress(XengtError, BindingError):
                    sweep.clean_up(journal)
            else:
                journal.clear()
