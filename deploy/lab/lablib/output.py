"""Messages on stderr: progress and errors. stdout belongs to the command that runs in dom0."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from lablib.errors import LabError, tail


def print_message(text: str) -> None:
    """Print one line on stderr, with the prefix that lablib.demo.stages recognises."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def report_error(error: LabError) -> int:
    """Print an error with the end of its log and its remedy; return the exit code."""
    if error.log is not None:
        for text in tail(error.log):
            print(f"  | {text}", file=sys.stderr)
    print_message(error.what)
    for text in error.details:
        print_message(f"  {text}")
    if error.remedy:
        print_message(f"  {error.remedy}")
    return error.exit_code


@contextmanager
def step(text: str) -> Iterator[None]:
    """Print a line when a step begins and, if it succeeds, one with its duration in seconds."""
    print_message(f"{text}…")
    begin = time.monotonic()
    yield
    print_message(f"{text}: {time.monotonic() - begin:.1f} s")
