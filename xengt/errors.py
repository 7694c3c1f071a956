"""The exceptions and exit codes of the `xengt` commands."""

import signal
from enum import IntEnum

#: A shell reports this plus the signal's number for a process that a signal ended.
_SIGNAL = 128


class Exit(IntEnum):
    """The exit codes of every `xengt` command."""

    DONE = 0
    BEYOND_BOUND = 1
    UNMET = 2
    FAILED = 3
    HANGUP = _SIGNAL + signal.SIGHUP
    INTERRUPTED = _SIGNAL + signal.SIGINT
    OUTPUT_CLOSED = _SIGNAL + signal.SIGPIPE
    TERMINATED = _SIGNAL + signal.SIGTERM


class XengtError(Exception):
    """An error that a command reports in one sentence, with a remedy where there is one.

    Args:
        what: one sentence: the operation that failed, the domain and reference it
            failed on, and the status that Xen or Linux returned, in words.
        remedy: one sentence: what the user can change; empty if nothing.
    """

    exit_code: Exit = Exit.FAILED

    def __init__(self, what: str, remedy: str = "") -> None:
        """Store both sentences; commands print them on separate lines."""
        super().__init__(what)
        self.what = what
        self.remedy = remedy


class UnmetError(XengtError):
    """An option is invalid, or the host or a granter lacks a prerequisite."""

    exit_code = Exit.UNMET


class FailedError(XengtError):
    """The command started and failed while it ran."""

    exit_code = Exit.FAILED
