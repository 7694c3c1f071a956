"""The journal of a command that measures."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from xengt.recovery import journal, sweep
from xengt.recovery.journal import Journal
from xengt.xen.preflight import library_errors_explained

LOCK_TIMEOUT_S = 10.0
"""Seconds to wait for a round of the agent's probe, which would disturb the measurement."""


@contextmanager
def clean_journal() -> Iterator[Journal]:
    """Open the journal, and clean up after a killed run.

    Raises:
        UnmetError: the journal cannot be opened, or another process holds it.
        FailedError: a mapping of a killed run cannot be found, or a library call failed.
    """
    with library_errors_explained(), journal.open_journal(timeout_s=LOCK_TIMEOUT_S) as records:
        summary = sweep.clean_up(records)
        if summary:
            print(f"xengt: {summary}", file=sys.stderr)
        yield records
