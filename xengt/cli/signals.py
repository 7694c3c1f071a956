"""Waits for the signals that end a command, so that the command can clean up."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_TERMINATION_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


@contextmanager
def wait_for_termination() -> Iterator[Callable[[float | None], None]]:
    """Block Ctrl-C, SIGTERM and SIGHUP, and wait for one of them at a chosen point.

    The signals are blocked throughout the context: one that arrives early ends the
    wait at once, and the command's cleanup always runs.

    Yields:
        A function that waits for one of the signals, for at most the given number of
        seconds; None waits without a limit.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _TERMINATION_SIGNALS)
    try:
        yield _wait
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait(seconds: float | None) -> None:
    if seconds is None:
        signal.sigwait(_TERMINATION_SIGNALS)
    else:
        signal.sigtimedwait(_TERMINATION_SIGNALS, seconds)
