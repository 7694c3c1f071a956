"""How the lab itself can fail, apart from the command it runs."""

from collections.abc import Sequence
from pathlib import Path

EXIT_USAGE = 2
EXIT_LAB = 3
EXIT_NO_SOURCE = 4
"""Of `lab source` alone: no archive has a source that the series applies to."""


class LabError(Exception):
    """What failed, what to do about it, and the lines that show it.

    Args:
        what: one sentence, with the thing that failed.
        remedy: one sentence: what the user can change.
        log: the file that holds the whole story; its last lines are shown.
        exit_code: what `lab` exits with.
        details: further lines about what failed, each complete by itself.
    """

    def __init__(
        self,
        what: str,
        remedy: str = "",
        log: Path | None = None,
        exit_code: int = EXIT_LAB,
        details: Sequence[str] = (),
    ) -> None:
        """Keep the parts apart, so that they can be shown apart."""
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.log = log
        self.exit_code = exit_code
        self.details = list(details)


def tail(log: Path, lines: int = 25) -> list[str]:
    """Return the last lines of a log, without the control characters of a terminal."""
    try:
        text = log.read_bytes()[-64 * 1024 :].decode("utf-8", "replace")
    except OSError:
        return []
    clean = "".join(c for c in text if c == "\n" or c.isprintable())
    return [line for line in clean.splitlines() if line.strip()][-lines:]
