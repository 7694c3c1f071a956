"""Traffic of a guest whose disks are on an NVMe controller, with a trace of its DMA addresses.

argument: 1 or 0: whether the guest's disks use persistent grants. Prints a JSON line: the report of
traffic.py, and the DMA mappings that the kernel made for the controller meanwhile.
"""

import ctypes
import fcntl
import json
import re
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Self

import traffic
from patience import patient
from traffic import BYTES, run

DISK = Path("/dev/nvme0n1")
#: linux/blkpg.h
BLKPG, ADD, DELETE = 0x1269, 1, 2
TRACING = Path("/sys/kernel/tracing")
EVENTS = ("dma/dma_map_page", "dma/dma_map_sg", "swiotlb/swiotlb_bounced")
numbers = count(1)


def direct_io(*words: str, stdin: bytes | None = None) -> bytes:
    """Run dd, which bypasses dom0's page cache; returns its standard output."""
    command = ["dd", "bs=64k", "status=none", *words]
    return subprocess.run(command, check=True, input=stdin, stdout=subprocess.PIPE).stdout


def change_partition(operation: int, number: int) -> None:
    """Add or delete a partition of BYTES in the kernel, without writing a partition table."""
    layout = struct.pack("qqi64s64s4x", number * BYTES, BYTES, number, b"", b"")
    data = ctypes.create_string_buffer(layout, len(layout))
    with DISK.open("rb") as disk:
        argument = struct.pack("iii4xP", operation, 0, len(layout), ctypes.addressof(data))
        fcntl.ioctl(disk, BLKPG, argument)


def make_partition(stack: ExitStack, content: bytes) -> tuple[Callable[[], bytes], str]:
    """Create a partition with some content; returns a function that reads it, and its device."""
    number = next(numbers)
    device = f"{DISK}p{number}"
    change_partition(ADD, number)
    stack.callback(change_partition, DELETE, number)
    # devtmpfs creates the device node; udev does not run.
    assert Path(device).is_block_device(), device
    direct_io("iflag=fullblock", "oflag=direct", f"of={device}", stdin=content)
    return lambda: direct_io("iflag=direct", f"if={device}"), device


class DmaTrace:
    """Traces the kernel's DMA mappings of a device within a `with` block."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.instance = TRACING / "instances/nvme"

    def __enter__(self) -> Self:
        if not (TRACING / "instances").is_dir():
            run("mount", "-t", "tracefs", "tracefs", str(TRACING))
        self.instance.mkdir()
        (self.instance / "buffer_size_kb").write_text("8192")
        for event in EVENTS:
            (self.instance / "events" / event / "enable").write_text("1")
        return self

    def __exit__(self, *_: object) -> None:
        for event in EVENTS:
            (self.instance / "events" / event / "enable").write_text("0")
        self.instance.rmdir()

    def mappings(self) -> dict:
        """Return the bus address and length in bytes of each mapping, and the number of bounces."""
        lines = [line for line in self.lines() if f" {self.device} " in line]
        mapped = []
        for line in lines:
            if found := re.search(r"dma_addr=(\w+) size=(\d+)", line):
                mapped.append((int(found[1], 16), int(found[2])))
            elif found := re.search(r"dma_addrs=\{(\S*)\} sizes=\{(\S*)\}", line):
                assert "TRUNCATED" not in line, line
                both = [[int(each, 16) for each in part.split(",")] for part in found.groups()]
                mapped += zip(*both, strict=True)
        bounced = sum("swiotlb_bounced:" in line for line in lines)
        return {"mapped": mapped, "bounced": bounced}

    def lines(self) -> list[str]:
        for file in self.instance.glob("per_cpu/cpu*/stats"):
            assert re.search(r"^overrun: 0$", file.read_text(), re.MULTILINE), file.read_text()
        return (self.instance / "trace").read_text().splitlines()


def wait_for_disk() -> None:
    """Load the driver, and wait until the disk exists."""
    run("modprobe", "nvme")
    deadline = time.monotonic() + patient(300)
    while not DISK.is_block_device():
        assert time.monotonic() < deadline, f"{DISK} does not exist"
        time.sleep(0.2)


def controller_name() -> str:
    """Return the kernel's name of the disk's controller, a PCI device."""
    return Path(f"/sys/block/{DISK.name}/device/device").resolve().name


def main(persistent: str) -> dict:
    wait_for_disk()
    with DmaTrace(controller_name()) as trace:
        report = traffic.main(persistent, make_partition)
        return {**report, "dma": trace.mappings()}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
