"""Run the long steps: one plain line on the terminal, the details in a log file."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lablib.errors import LabError, tail

SHOWN = 80
"""Characters of a command that failed; all of it is in the log."""


def say(text: str) -> None:
    """Tell the user one thing; stdout belongs to the command that runs in dom0."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def tell(error: LabError) -> int:
    """Tell the user what failed, with the end of its log; return the exit code for it."""
    if error.log is not None:
        for text in tail(error.log):
            print(f"  | {text}", file=sys.stderr)
    say(error.what)
    for text in error.details:
        say(f"  {text}")
    if error.remedy:
        say(f"  {error.remedy}")
    return error.exit_code


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say what is being done, and how long it took once it is."""
    say(f"{text}…")
    begin = time.monotonic()
    yield
    say(f"{text}: {time.monotonic() - begin:.1f} s")


def as_root(command: Sequence[str | Path]) -> list[str]:
    """Return the command as root runs it: through sudo for everybody else."""
    words = [str(word) for word in command]
    return words if os.geteuid() == 0 else ["sudo", "--", *words]


def run(
    command: Sequence[str | Path],
    log: Path,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run one command of a build, its output appended to a log.

    Args:
        command: program and arguments.
        log: the file that takes stdout and stderr.
        cwd: where to run it.
        env: what to add to the environment.

    Raises:
        LabError: it could not be started, or exited non-zero.
    """
    words = [str(word) for word in command]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        out.write(f"$ {' '.join(words)}\n".encode())
        out.flush()
        try:
            status = subprocess.run(
                words,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**os.environ, **(env or {})},
            ).returncode
        except OSError as error:
            raise LabError(f"{words[0]} cannot be started: {error.strerror}") from error
    if status != 0:
        shown = " ".join(words)
        shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"
        raise LabError(f"`{shown}` exited with {status}", f"the whole log is {log}", log)
