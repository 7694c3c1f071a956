"""Who takes back what was written to tracefs: the agent, and where it is dead, its guard.

The guard is a shell that waits at a pipe. The signals that end the agent are
blocked in it, as they were in the agent that made it. It reads a line when all
is taken back; when the pipe closes without one, whoever had the other end is
dead, and the shell becomes a Python that takes back what that one left. Where
both are dead, the next agent does.
"""

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xengt.errors import UnmetError, XengtError
from xengt.recovery.lock import file_lock
from xengt.serve.passive import tracefs

log = logging.getLogger(__name__)

#: whoever has it locked owns what is ours in tracefs
LOCK = Path("/run/xengt/passive")
_BUSY = "another agent traces the kernel's grant calls"
#: for a guard that takes back what another agent left
_PATIENCE_S = 10.0
_SHELL = 'read -r _ || exec "$@"'


@contextmanager
def tracing() -> Iterator[None]:
    """Have the kernel time its grant calls for as long as the context lasts.

    Raises:
        UnmetError: another agent has it do so, or the kernel refuses.
        FailedError: it cannot be taken back, now or by an agent before this one.
    """
    with file_lock(LOCK, timeout_s=_PATIENCE_S, busy=_BUSY), _guarded():
        tracefs.undo()
        try:
            tracefs.begin()
            yield
        finally:
            tracefs.undo()


def clear(patience_s: float = 0.0) -> None:
    """Take back what a dead agent left; what a live one has is left alone.

    Raises:
        UnmetError: a live agent has it.
        FailedError: it cannot be taken back.
    """
    if tracefs.leftover_instances():
        with file_lock(LOCK, timeout_s=patience_s, busy=_BUSY):
            tracefs.undo()


def abandoned() -> list[str]:
    """Return what a dead agent left in tracefs, as it is named there."""
    if not tracefs.leftover_instances():
        return []
    try:
        with file_lock(LOCK, timeout_s=0, busy=_BUSY):
            return tracefs.leftover_instances()
    except UnmetError:
        return []


@contextmanager
def _guarded() -> Iterator[None]:
    """Keep a guard; it is let off only when nothing is left."""
    words = [sys.executable, "-P", "-m", "xengt.serve.passive.guard"]
    guard = subprocess.Popen(  # noqa: S603 (words of ours alone)
        ["/bin/sh", "-c", _SHELL, "xengt-guard", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        if not tracefs.leftover_instances():
            guard.communicate(b"done\n")
        elif guard.stdin is not None:
            # It tries again once the lock is free, so it cannot be waited for.
            guard.stdin.close()


def main() -> None:
    """Take back what the agent left that has just died; whoever has the lock by now does so too."""
    logging.basicConfig(level=logging.INFO, format="xengt: %(levelname)s: %(message)s")
    try:
        # The dying let go of one thing after the other.
        clear(patience_s=1.0)
    except UnmetError as error:
        log.info("nothing to take back: %s", error.what)
    except XengtError as error:
        log.error("%s; %s", error.what, error.remedy)  # noqa: TRY400


if __name__ == "__main__":
    main()
