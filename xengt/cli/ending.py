"""How a command ends: the exit code and the message of what reaches its end."""

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import typer

from xengt.errors import Exit, FailedError, XengtError


class Terminated(KeyboardInterrupt):
    """A signal other than SIGINT ended the command.

    Args:
        exit_code: the exit code that a shell reports for the signal.
    """

    def __init__(self, exit_code: Exit) -> None:
        """Store the exit code."""
        super().__init__()
        self.exit_code = exit_code


_EXIT_CODES = {signal.SIGTERM: Exit.TERMINATED, signal.SIGHUP: Exit.HANGUP}


def raise_at_signals() -> None:
    """Let Ctrl-C, SIGTERM and SIGHUP raise, so that the command cleans up what it made in Xen."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in _EXIT_CODES:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _terminate)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    raise Terminated(_EXIT_CODES[signal.Signals(number)])


@contextmanager
def errors_reported() -> Iterator[None]:
    """Print an error that reaches the context's end, and end with its exit code.

    Raises:
        SystemExit: in place of an error or a signal, with the code of xengt.errors.
    """
    try:
        yield
    except typer.Exit:
        raise
    except KeyboardInterrupt as interrupt:
        raise SystemExit(getattr(interrupt, "exit_code", Exit.INTERRUPTED)) from interrupt
    except XengtError as error:
        _end(error)
    except Exception as error:  # noqa: BLE001 (Python would print a traceback and exit with 1)
        if os.environ.get("XENGT_TRACEBACK"):
            traceback.print_exc()
        _end(_defect(error))


def _defect(error: Exception) -> FailedError:
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    return FailedError(
        f"unexpected {text}",
        "this is a defect of xengt: report it with the traceback, which is printed if the"
        " environment variable XENGT_TRACEBACK=1 is set",
    )


def _end(error: XengtError) -> NoReturn:
    if error.exit_code != Exit.OUTPUT_CLOSED:  # nobody reads the pipe any more
        print(f"xengt: {error.what}", file=sys.stderr)
        if error.remedy:
            print(f"  {error.remedy}", file=sys.stderr)
    raise SystemExit(error.exit_code) from error
