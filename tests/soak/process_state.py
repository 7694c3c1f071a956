"""Memory, file descriptors and threads of a process, by /proc."""

import os
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ProcessState:
    """What a leak of a process would increase.

    Attributes:
        memory: anonymous memory in bytes, in RAM or swapped out. Pages of files are not included:
            the kernel reads and drops them as other processes need memory.
        descriptors: open files.
        threads: all, named or not.
    """

    memory: int
    descriptors: int
    threads: int


def read(pid: int) -> ProcessState:
    """Return the state of a process."""
    directory = Path(f"/proc/{pid}")
    # Not VmRSS, which the kernel counts per thread and adds up late.
    text = (directory / "smaps_rollup").read_text(encoding="ascii")
    lines = re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE)
    kib = {name: int(number) for name, number in lines}
    return ProcessState(
        1024 * (kib["Anonymous"] + kib["Swap"]),
        len(os.listdir(directory / "fd")),  # noqa: PTH208 (only their number is needed)
        len(os.listdir(directory / "task")),  # noqa: PTH208
    )
