"""A lock file that one process holds at a time; the kernel releases it when the process ends."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xengt.errors import UnmetError

_RETRY_INTERVAL_S = 0.05


class BusyError(UnmetError):
    """Another process holds the lock."""


@contextmanager
def file_lock(path: Path, *, timeout_s: float, busy: str) -> Iterator[int]:
    """Open and lock a file, creating it if needed.

    Args:
        path: the file.
        timeout_s: how long to wait for another process that holds the lock, in seconds.
        busy: error message if another process still holds the lock then.

    Yields:
        The file descriptor, for reading and writing; child processes do not inherit it.

    Raises:
        BusyError: another process holds the lock.
        UnmetError: the file cannot be opened.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise UnmetError(
            f"{path} cannot be opened: {error.strerror}", "run xengt as root"
        ) from error
    try:
        _lock(descriptor, time.monotonic() + timeout_s, busy)
        yield descriptor
    finally:
        # Closing does not suffice: a memory mapping of the file holds a descriptor of its own.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _lock(descriptor: int, deadline: float, busy: str) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise BusyError(
                    busy, "wait until that process ends, or end it; `pgrep -af xengt` lists it"
                ) from error
            time.sleep(_RETRY_INTERVAL_S)
        else:
            return
