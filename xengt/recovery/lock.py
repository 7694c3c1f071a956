"""A file that one process at a time has locked; the kernel lets go of it with the process."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xengt.errors import UnmetError

#: seconds between two tries
_AGAIN_S = 0.05


@contextmanager
def file_lock(path: Path, *, patience_s: float, busy: str) -> Iterator[int]:
    """Open and lock a file, which is made if it is not there.

    Args:
        path: the file.
        patience_s: how long to wait for another that has it, in seconds.
        busy: what to say of another that keeps it.

    Yields:
        Its descriptor, for reading and writing; no child gets it.

    Raises:
        UnmetError: another process has it, or the file cannot be made.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise UnmetError(
            f"{path} cannot be opened: {error.strerror}", "run this as root"
        ) from error
    try:
        _lock(descriptor, time.monotonic() + patience_s, busy)
        yield descriptor
    finally:
        # Not left to close: a mapping of the file that lives on has a descriptor of its own.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _lock(descriptor: int, until: float, busy: str) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= until:
                raise UnmetError(busy, "wait for it to end, or end it: pgrep -af xengt") from error
            time.sleep(_AGAIN_S)
        else:
            return
