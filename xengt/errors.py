"""How a command can end other than well, and the exit code each way has."""

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes every `xengt` command keeps to."""

    DONE = 0
    BELOW_BOUND = 1
    UNMET = 2
    FAILED = 3


class XengtError(Exception):
    """What failed, on what, and what the user can change.

    Args:
        what: one sentence: the thing that failed, the domain and reference it
            failed on, and Xen's own word for the status where there is one.
        remedy: one sentence: what the user can do about it.
    """

    exit_code = Exit.FAILED

    def __init__(self, what: str, remedy: str = "") -> None:
        """Keep the two sentences apart, so that they can be shown apart."""
        super().__init__(what)
        self.what = what
        self.remedy = remedy


class UnmetError(XengtError):
    """The command cannot start: a bad option, or something the host lacks."""

    exit_code = Exit.UNMET


class FailedError(XengtError):
    """The command had started, and failed while running."""

    exit_code = Exit.FAILED
