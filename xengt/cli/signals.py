"""Waiting until somebody ends a command, which then undoes what it did."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_ENDINGS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


@contextmanager
def wait_for_termination() -> Iterator[Callable[[float | None], None]]:
    """Have Ctrl-C, SIGTERM and SIGHUP wait until they are waited for.

    Blocked from the first on: whenever one comes, it is taken by what is
    yielded, and everything is undone.

    Yields:
        Waits for one of them, for so many seconds at most; None: until there is one.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDINGS)
    try:
        yield _wait
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait(seconds: float | None) -> None:
    if seconds is None:
        signal.sigwait(_ENDINGS)
    else:
        signal.sigtimedwait(_ENDINGS, seconds)
