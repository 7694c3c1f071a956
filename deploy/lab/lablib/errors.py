"""The failures of the lab itself, as opposed to those of the command that runs in dom0."""

from collections.abc import Sequence
from pathlib import Path

EXIT_USAGE = 2
EXIT_LAB = 3
EXIT_NO_SOURCE = 4
"""Only `lab source`: no archive has a source that the series applies to."""


class LabError(Exception):
    """A failure, with its remedy and the log that explains it.

    Args:
        what: one sentence: what failed.
        remedy: what the user can change.
        log: the log file of the failed step; its last lines are printed with the error.
        exit_code: the exit code of `lab`.
        details: further lines, each of which can be read on its own.
    """

    def __init__(
        self,
        what: str,
        remedy: str = "",
        log: Path | None = None,
        exit_code: int = EXIT_LAB,
        details: Sequence[str] = (),
    ) -> None:
        """Store the parts; `report_error` prints them."""
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.log = log
        self.exit_code = exit_code
        self.details = list(details)


def tail(log: Path, lines: int = 25) -> list[str]:
    """Return the last non-empty lines of a log without control characters; [] without a log."""
    try:
        text = log.read_bytes()[-64 * 1024 :].decode("utf-8", "replace")
    except OSError:
        return []
    clean = "".join(c for c in text if c == "\n" or c.isprintable())
    return [line for line in clean.splitlines() if line.strip()][-lines:]
