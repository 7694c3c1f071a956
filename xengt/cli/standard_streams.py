"""Standard output and error that end a command in a defined way if they cannot be written.

Python's own objects raise OSError, which cannot be told from an error of a file or a socket, and
which click reports with exit code 1.
"""

import errno
import io
import os
import sys
from contextlib import suppress
from typing import TextIO

from xengt.errors import Exit, FailedError

_REMEDIES = {
    errno.ENOSPC: "redirect it to a file system with free space",
    errno.EBADF: "run the command with an open standard output, for example >/dev/null",
}


class OutputError(FailedError):
    """Standard output cannot be written: its disk is full, or its reader has gone.

    Args:
        error: the error of the write.
    """

    def __init__(self, error: OSError) -> None:
        """Name the error; a reader that has gone has an exit code of its own."""
        super().__init__(
            f"cannot write to standard output: {error.strerror}",
            _REMEDIES.get(error.errno or 0, "redirect it to a file that can be written"),
        )
        if error.errno == errno.EPIPE:
            self.exit_code = Exit.OUTPUT_CLOSED


class _Output(io.TextIOWrapper):
    """Standard output, which raises OutputError and then drops what is written afterwards."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            _drop_output()
            raise OutputError(error) from error

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            _drop_output()
            raise OutputError(error) from error


def _drop_output() -> None:
    """Let writes succeed: cleanup may print, and Python flushes standard output at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


class _Messages(io.TextIOWrapper):
    """Standard error, which drops messages that cannot be written."""

    def write(self, text: str, /) -> int:
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def guard() -> None:
    """Replace sys.stdout and sys.stderr; a character that an encoding lacks is escaped."""
    _open_closed_streams()
    os.set_blocking(1, True)  # Python loses a part of a long document if a pipe does not block.
    sys.stdout = _Output(*_binary(1, sys.stdout), line_buffering=os.isatty(1))
    sys.stderr = _Messages(*_binary(2, sys.stderr), line_buffering=True)


def _binary(number: int, replaced: TextIO | None) -> tuple[io.BufferedWriter, str | None, str]:
    """Return the stream of a descriptor, its encoding (None: the locale's) and error handler."""
    stream = os.fdopen(number, "wb", closefd=False)
    return stream, replaced.encoding if replaced else None, "backslashreplace"


def _open_closed_streams() -> None:
    """Occupy the descriptors of closed streams, which the next opened file would get otherwise.

    Writes to standard output fail then, and messages are dropped.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, mode), True)
