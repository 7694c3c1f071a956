"""Run the commands of a build, with their output in a log file."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from lablib.errors import LabError

MESSAGE_LENGTH = 80
"""Characters of a failed command in an error message; the log has the whole command."""


def as_root(command: Sequence[str | Path]) -> list[str]:
    """Return a command that runs as root: through sudo unless this process is root."""
    words = [str(word) for word in command]
    return words if os.geteuid() == 0 else ["sudo", "--", *words]


def run(
    command: Sequence[str | Path],
    log: Path,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run one command of a build and append its output to a log.

    Args:
        command: program and arguments.
        log: the file for stdout and stderr; its directory is made if missing.
        cwd: the working directory.
        env: variables to add to the environment.

    Raises:
        LabError: the command cannot be started, or its exit code is not 0.
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
        text = " ".join(words)
        text = text if len(text) <= MESSAGE_LENGTH else f"{text[:MESSAGE_LENGTH]}…"
        raise LabError(f"`{text}` exited with {status}", f"the complete log is {log}", log)
