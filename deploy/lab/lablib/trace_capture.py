"""Have QEMU write down every instruction that the hypervisor executes, for a while."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from lablib.errors import LabError

POLL = 0.05
PROMPT = b"(qemu) "
#: `Trace 0: 0x7f… [cs_base/pc/flags/cflags] symbol`, of log_cpu_exec
EXECUTED = re.compile(rb"^Trace \d+: 0x[0-9a-f]+ \[[0-9a-f]+/([0-9a-f]+)/")
#: the block just announced did not run: the instruction clock wanted to be looked at first
TAKEN_BACK = b"Stopped execution of TB chain before"


class Monitor:
    """QEMU's monitor, the one for people: what is needed exists in no other.

    Args:
        path: its socket.

    Raises:
        LabError: nobody listens there, or no prompt comes.
    """

    def __init__(self, path: Path) -> None:
        """Connect, and wait for the first prompt."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(120)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            raise LabError(f"QEMU's monitor {path} cannot be reached: {error.strerror}") from error
        self._answer()

    def __enter__(self) -> Self:
        """Give the monitor."""
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        self._socket.close()

    def do(self, command: str) -> str:
        """Run one command and return what it said.

        Raises:
            LabError: QEMU hung up, or is silent.
        """
        self._socket.sendall(command.encode() + b"\n")
        # It echoes what it is sent, with a terminal's control sequences; the answer begins after.
        return self._answer().partition("\n")[2].strip()

    def _answer(self) -> str:
        said = b""
        try:
            while not said.endswith(PROMPT):
                more = self._socket.recv(65536)
                if not more:
                    raise LabError("QEMU hung up its monitor")
                said += more
        except OSError as error:
            raise LabError(f"QEMU's monitor is silent: {error}") from error
        return said[: -len(PROMPT)].decode(errors="replace").replace("\r", "")


def record(monitor: Monitor, log: Path, entry: int, times: int, timeout: float) -> None:
    """Log every instruction executed in Xen's text, until one has been often enough.

    Args:
        monitor: of a machine started with `Machine.monitor`.
        log: the file to write.
        entry: the address of that instruction.
        times: how often it is to be executed.
        timeout: seconds that may take, of the host's time.

    Raises:
        LabError: it took longer.
    """
    with recording(monitor, log):
        if not _seen(log, f"/{entry:016x}/".encode(), times, timeout):
            raise LabError(
                f"{entry:#x} was not executed {times} times in {timeout:.0f} s",
                "see whether the machine is overloaded",
            )


@contextmanager
def recording(monitor: Monitor, log: Path) -> Iterator[None]:
    """Log every instruction executed in Xen's text for as long as the context lasts.

    Each instruction becomes a block of its own, so the log has one line for each.

    Args:
        monitor: of a machine started with `Machine.monitor`.
        log: the file to write; of a FIFO somebody must be reading.
    """
    monitor.do("stop")
    monitor.do(f"logfile {log}")
    monitor.do("singlestep on")
    monitor.do("log exec,nochain")
    monitor.do("cont")
    try:
        yield
    finally:
        monitor.do("stop")
        monitor.do("log none")
        monitor.do("logfile /dev/null")  # or it keeps the file open, and a FIFO has no end
        monitor.do("singlestep off")
        monitor.do("cont")


def _seen(log: Path, pattern: bytes, times: int, timeout: float) -> bool:
    """Wait until a growing file has a pattern so many times."""
    end = time.monotonic() + timeout
    found = 0
    with log.open("rb") as lines:
        last = b""
        while found < times and time.monotonic() < end:
            time.sleep(POLL)
            data = last + lines.read()
            whole = data.rfind(b"\n") + 1
            found += data.count(pattern, 0, whole)
            last = data[whole:]
    return found >= times


def memory(monitor: Monitor, address: int, size: int, target: Path) -> None:
    """Write a piece of the machine's memory to a file.

    Args:
        monitor: of the machine.
        address: virtual, in what the first vCPU has mapped now.
        size: bytes.
        target: the file.

    Raises:
        LabError: it is not mapped.
    """
    said = monitor.do(f'memsave 0x{address:x} {size} "{target}"')
    if not target.is_file() or target.stat().st_size != size:
        raise LabError(f"the memory at {address:#x} cannot be read: {said}")


def executed(log: Path) -> Iterator[int]:
    """Yield the address of each instruction that ran, in order.

    Args:
        log: from `record`.
    """
    last: int | None = None
    with log.open("rb") as lines:
        for line in lines:
            found = EXECUTED.match(line)
            if found:
                if last is not None:
                    yield last
                last = int(found[1], 16)
            elif line.startswith(TAKEN_BACK):
                last = None
    if last is not None:
        yield last
