"""Have QEMU write down every instruction that the hypervisor executes, for a while."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lablib.errors import LabError
from lablib.monitor import Monitor

POLL = 0.05
#: `Trace 0: 0x7f… [cs_base/pc/flags/cflags] symbol`, of log_cpu_exec
EXECUTED = re.compile(rb"^Trace \d+: 0x[0-9a-f]+ \[[0-9a-f]+/([0-9a-f]+)/")
#: the block just announced did not run: the instruction clock wanted to be looked at first
TAKEN_BACK = b"Stopped execution of TB chain before"


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
