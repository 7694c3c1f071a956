"""Removal of the agent's trace objects: by the agent, or by its guard if the agent is killed.

The guard is a shell that reads from a pipe. The agent's signals are blocked in it, as they
are in the agent that starts it. The agent writes a line once it has removed everything, and the
guard exits. If the pipe closes without a line, the agent is dead, and the shell executes this
module, which removes the trace objects. If both are killed, the next agent removes them.
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

#: the process that has locked this file owns xengt's trace objects
LOCK = Path("/run/xengt/passive")
_BUSY = "another agent traces the kernel's grant calls"
#: longest wait for a guard that removes another agent's trace objects, in seconds
_LOCK_TIMEOUT_S = 10.0
#: longest wait of a guard for a dying agent to release the lock, in seconds
_DYING_AGENT_S = 1.0
_SHELL = 'read -r _ || exec "$@"'


@contextmanager
def tracing() -> Iterator[None]:
    """Have the kernel time its grant calls while the context lasts.

    Raises:
        UnmetError: another agent does so, or the kernel rejects the trace objects.
        FailedError: trace objects, of this agent or an earlier one, cannot be removed.
    """
    with file_lock(LOCK, timeout_s=_LOCK_TIMEOUT_S, busy=_BUSY), _guarded():
        tracefs.remove()
        try:
            tracefs.install()
            yield
        finally:
            tracefs.remove()


def clean_up(timeout_s: float = 0.0) -> None:
    """Remove the trace objects of a dead agent, but not those of a live one.

    Args:
        timeout_s: longest wait for the lock in seconds.

    Raises:
        UnmetError: a live agent owns them.
        FailedError: they cannot be removed.
    """
    if tracefs.trace_objects():
        with file_lock(LOCK, timeout_s=timeout_s, busy=_BUSY):
            tracefs.remove()


def abandoned_trace_objects() -> list[str]:
    """Return the names in tracefs of the trace objects that a dead agent left."""
    if not tracefs.trace_objects():
        return []
    try:
        with file_lock(LOCK, timeout_s=0, busy=_BUSY):
            return tracefs.trace_objects()
    except UnmetError:
        return []


@contextmanager
def _guarded() -> Iterator[None]:
    """Run a guard, and dismiss it once there are no trace objects."""
    command = [sys.executable, "-P", "-m", "xengt.serve.passive.guard"]
    guard = subprocess.Popen(  # noqa: S603 (constant words)
        ["/bin/sh", "-c", _SHELL, "xengt-guard", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        if not tracefs.trace_objects():
            guard.communicate(b"done\n")
        elif guard.stdin is not None:
            # The guard retries once the agent has released the lock: waiting here would deadlock.
            guard.stdin.close()


def main() -> None:
    """Remove the trace objects of the agent that has died, unless a new agent has the lock."""
    logging.basicConfig(level=logging.INFO, format="xengt: %(levelname)s: %(message)s")
    try:
        # A dying process closes its files one after another: the pipe may close before the lock.
        clean_up(timeout_s=_DYING_AGENT_S)
    except UnmetError as error:
        log.info("the guard of the killed agent has nothing to clean up: %s", error.what)
    except XengtError as error:
        log.error("%s; %s", error.what, error.remedy)  # noqa: TRY400


if __name__ == "__main__":
    main()
