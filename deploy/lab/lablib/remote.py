"""Reach into dom0: commands and files, over the one forwarded port."""

import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from lablib.console import Console
from lablib.errors import EXIT_USAGE, LabError
from lablib.record import Record

SSH_FAILED = 255
HOME = "/root"


def ssh(record: Record, *options: str) -> list[str]:
    """Return the ssh command line that reaches a lab's dom0."""
    return [
        "ssh", "-F", "none", "-q", "-p", str(record.port), "-i", str(record.directory / "key"),
        "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=300",
        "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
        # One login serves all commands: a key exchange takes a second under software emulation.
        "-o", "ControlMaster=auto", "-o", "ControlPersist=600",
        "-o", f"ControlPath={_socket(record)}",
        *options, "root@127.0.0.1",
    ]  # fmt: skip


def hang_up(record: Record) -> None:
    """End the login that `ssh` keeps open for the commands to come."""
    leave = [*ssh(record), "-O", "exit"]
    subprocess.run(leave, check=False, capture_output=True)


def _socket(record: Record) -> str:
    path = str(record.directory / "ssh")
    longest = 88  # of a socket's path, less what ssh adds to it while it makes one
    return path if len(path) <= longest else "none"


def line(words: Sequence[str]) -> str:
    """Return what dom0's shell is to run.

    Args:
        words: one word is a line for the shell; several are a program and its exact arguments.
    """
    command = words[0] if len(words) == 1 else shlex.join(words)
    # The shell stays in between, so that a death by signal comes back as 128 + its number.
    return f"export PYTHONUNBUFFERED=1\n{command}\nexit $?"


def execute(record: Record, words: Sequence[str], timeout: float | None = None) -> int:
    """Run a command in dom0 on this process's stdin, stdout and stderr.

    Args:
        record: the lab.
        words: see `line`; none is a login shell.
        timeout: seconds it may take.

    Returns:
        The command's exit code.

    Raises:
        LabError: the machine died under it, or it took too long.
    """
    command = [*ssh(record), line(words)] if words else ssh(record, "-t")
    console = Console(record.console)
    console.read()
    console.death = None
    with subprocess.Popen(command) as child:
        try:
            return _outcome(record, child, console, timeout)
        finally:
            child.kill()


def _outcome(
    record: Record, child: subprocess.Popen[bytes], console: Console, timeout: float | None
) -> int:
    deadline = time.monotonic() + timeout if timeout else None
    while True:
        try:
            status = child.wait(0.25)
        except subprocess.TimeoutExpired:
            status = None
        console.read()
        if console.death or not record.alive():
            raise LabError(
                f"the machine died under the command: {console.death or 'QEMU ended'}",
                f"the whole console is in {record.console}",
                record.console,
            )
        if status is not None:
            if status == SSH_FAILED:
                _check_reachable(record)
            return status if status >= 0 else 128 - status
        if deadline and time.monotonic() > deadline:
            raise LabError(
                f"the command was still running after {timeout:.0f} s",
                "give it longer with --timeout SECONDS",
                record.console,
            )


def _check_reachable(record: Record) -> None:
    command = [*ssh(record), "true"]
    if subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode == SSH_FAILED:
        raise LabError("dom0 does not answer ssh any more", "see its console", record.console)


def put(record: Record, files: Sequence[Path], target: str = HOME) -> None:
    """Copy files and directories into dom0.

    Args:
        record: the lab.
        files: each lands in `target` under its own name.
        target: a directory in dom0; made when missing. Relative to /root.

    Raises:
        LabError: a file is not there, or the copy failed.
    """
    for path in files:
        if not path.exists():
            raise LabError(f"{path} does not exist: nothing to put", exit_code=EXIT_USAGE)
    pack = ["tar", "-c", "--owner=0", "--group=0"]
    for path in files:
        pack += ["-C", str(path.resolve().parent), path.resolve().name]
    place = shlex.quote(target)
    unpack = [*ssh(record), f"mkdir -p {place} && tar -x -C {place}"]
    _pipe(pack, unpack, f"copying into dom0:{target}")


def get(record: Record, names: Sequence[str], target: Path) -> None:
    """Copy files and directories out of dom0.

    Args:
        record: the lab.
        names: paths in dom0, relative to /root; each lands in `target` under its last name.
        target: a directory here; made when missing.

    Raises:
        LabError: a file is not there, or the copy failed.
    """
    target.mkdir(parents=True, exist_ok=True)
    pack = ["tar", "-c"]
    for name in names:
        path = Path(HOME) / name
        pack += ["-C", str(path.parent), path.name]
    # dom0 has a clock of its own: no time of its is worth a warning here.
    unpack = ["tar", "-x", "--touch", "--no-same-owner", "-C", str(target)]
    _pipe([*ssh(record), shlex.join(pack)], unpack, f"copying {', '.join(names)} out of dom0")


def _pipe(source: list[str], sink: list[str], what: str) -> None:
    with subprocess.Popen(source, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as left:
        status = subprocess.run(sink, check=False, stdin=left.stdout).returncode
    if status or left.returncode:
        raise LabError(f"{what} failed", "the message above says which file")
