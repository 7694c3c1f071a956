"""Run commands in dom0 and copy files, through ssh on the forwarded port."""

import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from lablib.console import Console
from lablib.errors import EXIT_USAGE, LabError
from lablib.record import Record

SSH_FAILED = 255
CONNECT_TIMEOUT = 300.0
"""Seconds until dom0 must accept an ssh connection."""
POLL = 0.5
"""Seconds between attempts to connect."""
HOME = "/root"
SUN_PATH = 108
"""Size of a Unix socket's path in bytes, with the terminating null byte: unix(7)."""
SSH_SUFFIX = 19
"""Upper limit of the characters that ssh appends to the path of its socket while it creates it."""


def ssh(record: Record, *options: str) -> list[str]:
    """Return the ssh command line for a lab's dom0, to which a remote command can be appended.

    Args:
        record: the lab.
        options: further options of ssh.
    """
    return [
        "ssh", "-F", "none", "-q", "-p", str(record.port), "-i", str(record.directory / "key"),
        "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=300",
        "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
        # Commands share a connection until the lab ends: a key exchange takes a second under
        # software emulation, and may fail, see `connect`.
        "-o", "ControlMaster=auto", "-o", "ControlPersist=yes",
        "-o", f"ControlPath={_socket(record)}",
        *options, "root@127.0.0.1",
    ]  # fmt: skip


def connect(record: Record) -> None:
    """Open the connection that the commands to a lab share; try again until that succeeds.

    With the instruction clock, the time of an idle dom0 passes at once. While ssh computes on a
    busy machine, dom0's ssh server may see its time limit for a login expire, and disconnect.

    Args:
        record: the lab.

    Raises:
        LabError: the machine has ended, or CONNECT_TIMEOUT has passed.
    """
    deadline = time.monotonic() + CONNECT_TIMEOUT
    command = [*ssh(record), "true"]
    while subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode == SSH_FAILED:
        if not record.alive() or time.monotonic() > deadline:
            raise LabError(
                "dom0 does not accept an ssh connection",
                f"the complete console log is {record.console}",
                record.console,
            )
        time.sleep(POLL)


def close_connection(record: Record) -> None:
    """Close the connection that the commands to a lab share."""
    command = [*ssh(record), "-O", "exit"]
    subprocess.run(command, check=False, capture_output=True)


def _socket(record: Record) -> str:
    path = str(record.directory / "ssh")
    return path if len(path) + SSH_SUFFIX < SUN_PATH else "none"


def line(words: Sequence[str]) -> str:
    """Return the script for dom0's shell that runs a command.

    Args:
        words: one word is a command line for the shell; several are a program and its arguments.
    """
    command = words[0] if len(words) == 1 else shlex.join(words)
    # `exit` prevents the shell from replacing itself: a signal is reported as 128 + its number.
    return f"export PYTHONUNBUFFERED=1\n{command}\nexit $?"


def execute(record: Record, words: Sequence[str], timeout: float | None = None) -> int:
    """Run a command in dom0 with this process's stdin, stdout and stderr.

    Args:
        record: the lab.
        words: see `line`; an empty sequence is a login shell.
        timeout: seconds until the command counts as failed; None: unlimited.

    Returns:
        The command's exit code.

    Raises:
        LabError: the machine failed while the command ran, or the timeout expired.
    """
    command = [*ssh(record), line(words)] if words else ssh(record, "-t")
    console = Console(record.console)
    console.read()
    console.failure = None
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
        if console.failure or not record.alive():
            raise LabError(
                f"the machine failed while the command ran: {console.failure or 'QEMU has ended'}",
                f"the complete console log is {record.console}",
                record.console,
            )
        if status is not None:
            if status == SSH_FAILED:
                _check_reachable(record)
            return status if status >= 0 else 128 - status
        if deadline and time.monotonic() > deadline:
            raise LabError(
                f"the command in dom0 did not end within {timeout:.0f} s",
                "increase --timeout",
                record.console,
            )


def _check_reachable(record: Record) -> None:
    command = [*ssh(record), "true"]
    if subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode == SSH_FAILED:
        raise LabError(
            "dom0 no longer responds to ssh",
            f"the complete console log is {record.console}",
            record.console,
        )


def put(record: Record, files: Sequence[Path], target: str = HOME) -> None:
    """Copy files and directories into dom0.

    Args:
        record: the lab.
        files: paths on this machine; each is copied to `target` under its own name.
        target: a directory in dom0, relative to /root; made if missing.

    Raises:
        LabError: a file does not exist, or the copy failed.
    """
    for path in files:
        if not path.exists():
            raise LabError(
                f"{path} cannot be copied into dom0: it does not exist", exit_code=EXIT_USAGE
            )
    pack = ["tar", "-c", "--owner=0", "--group=0"]
    for path in files:
        pack += ["-C", str(path.resolve().parent), path.resolve().name]
    quoted = shlex.quote(target)
    unpack = [*ssh(record), f"mkdir -p {quoted} && tar -x -C {quoted}"]
    _pipe(pack, unpack, f"copying {', '.join(map(str, files))} to {target} in dom0")


def get(record: Record, names: Sequence[str], target: Path) -> None:
    """Copy files and directories out of dom0.

    Args:
        record: the lab.
        names: paths in dom0, relative to /root; each is copied to `target` under its own name.
        target: a directory on this machine; made if missing.

    Raises:
        LabError: a file does not exist, or the copy failed.
    """
    target.mkdir(parents=True, exist_ok=True)
    pack = ["tar", "-c"]
    for name in names:
        path = Path(HOME) / name
        pack += ["-C", str(path.parent), path.name]
    # --touch: dom0's clock differs, and tar warns of times in the future.
    unpack = ["tar", "-x", "--touch", "--no-same-owner", "-C", str(target)]
    _pipe([*ssh(record), shlex.join(pack)], unpack, f"copying {', '.join(names)} out of dom0")


def _pipe(source: list[str], sink: list[str], what: str) -> None:
    with subprocess.Popen(source, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as packing:
        status = subprocess.run(sink, check=False, stdin=packing.stdout).returncode
    if status or packing.returncode:
        raise LabError(f"{what} failed", "the message of tar above names the file")
