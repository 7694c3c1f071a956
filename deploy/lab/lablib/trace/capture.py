"""Record every instruction that the hypervisor executes, through QEMU's log."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lablib.errors import LabError
from lablib.monitor import Monitor

POLL = 0.05
#: a log line of QEMU's log_cpu_exec(): `Trace 0: 0x7f… [cs_base/pc/flags/cflags] symbol`
EXECUTED = re.compile(rb"^Trace \d+: 0x[0-9a-f]+ \[[0-9a-f]+/([0-9a-f]+)/")
#: the log line after a block that was logged but not executed: the instruction counter of -icount
#: had expired
NOT_EXECUTED = b"Stopped execution of TB chain before"


def record(monitor: Monitor, log: Path, entry: int, times: int, timeout: float) -> None:
    """Log the instructions executed in Xen's text until one has been executed a number of times.

    Args:
        monitor: of a machine started with `Machine.monitor`.
        log: the file to write.
        entry: address of the instruction to count.
        times: number of executions to wait for.
        timeout: seconds of host time.

    Raises:
        LabError: the timeout expired.
    """
    with recording(monitor, log):
        if not _wait_for_pattern(log, f"/{entry:016x}/".encode(), times, timeout):
            raise LabError(
                f"the hypervisor did not execute {entry:#x} {times} times within {timeout:.0f} s",
                "check the load of this machine, or reduce --hypercalls",
            )


@contextmanager
def recording(monitor: Monitor, log: Path) -> Iterator[None]:
    """Log the instructions executed in Xen's text while the context is active.

    Each instruction is a translation block of its own, so the log has one line per instruction.

    Args:
        monitor: of a machine started with `Machine.monitor`.
        log: the file to write; a FIFO needs a reader.
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
        monitor.do("logfile /dev/null")  # closes the log: a FIFO's reader needs an end of file
        monitor.do("singlestep off")
        monitor.do("cont")


def _wait_for_pattern(log: Path, pattern: bytes, times: int, timeout: float) -> bool:
    """Return whether a growing file has a pattern a number of times before the timeout."""
    deadline = time.monotonic() + timeout
    found = 0
    with log.open("rb") as lines:
        partial = b""
        while found < times and time.monotonic() < deadline:
            time.sleep(POLL)
            data = partial + lines.read()
            complete = data.rfind(b"\n") + 1
            found += data.count(pattern, 0, complete)
            partial = data[complete:]
    return found >= times


def memory(monitor: Monitor, address: int, size: int, target: Path) -> None:
    """Write a range of the machine's memory to a file.

    Args:
        monitor: of the machine.
        address: virtual address in the current address space of the first vCPU.
        size: bytes.
        target: the file to write.

    Raises:
        LabError: the address is not mapped.
    """
    output = monitor.do(f'memsave 0x{address:x} {size} "{target}"')
    if not target.is_file() or target.stat().st_size != size:
        raise LabError(f"the hypervisor's memory at {address:#x} cannot be read: {output}")


def executed(log: Path) -> Iterator[int]:
    """Yield the address of each executed instruction, in order.

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
            elif line.startswith(NOT_EXECUTED):
                last = None
    if last is not None:
        yield last
