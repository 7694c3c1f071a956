"""QEMU's `edu` device (docs/specs/edu of QEMU), which performs DMA through the IOMMU on request.

The CPU cannot access the device's buffer: all data is transferred by DMA.
"""

import mmap
import os
import time
from pathlib import Path
from typing import Self

from patience import patient

PCI_ID = ("0x1234", "0x11e8")
#: offset of the PCI command register, and its bits memory space and bus master
COMMAND, MEMORY, MASTER = 4, 2, 4
#: indexes of the 64-bit DMA registers; address of the buffer in the device
SOURCE, TARGET, COUNT, ORDER = 0x80 // 8, 0x88 // 8, 0x90 // 8, 0x98 // 8
BUFFER = 0x40000
RUN, TO_RAM = 1, 2
#: duration of any DMA of the device in seconds, by the virtual machine's clock
DMA_S = 0.1


class Edu:
    """The device, enabled and with mapped registers within a `with` block."""

    def __enter__(self) -> Self:
        self.directory = next(
            device
            for device in Path("/sys/bus/pci/devices").iterdir()
            if ((device / "vendor").read_text().strip(), (device / "device").read_text().strip())
            == PCI_ID
        )
        (self.directory / "enable").write_text("1")
        self.command(MEMORY | MASTER)
        with (self.directory / "resource0").open("r+b", buffering=0) as bar:
            self.bar = mmap.mmap(bar.fileno(), mmap.PAGESIZE)
        # Items of this view are accessed by single 64-bit accesses, as the device requires.
        self.registers = memoryview(self.bar).cast("Q")
        return self

    def command(self, bits: int) -> None:
        """Set bits of the PCI command register."""
        with (self.directory / "config").open("r+b", buffering=0) as config:
            now = int.from_bytes(os.pread(config.fileno(), 2, COMMAND), "little")
            os.pwrite(config.fileno(), (now | bits).to_bytes(2, "little"), COMMAND)

    @property
    def bus_master(self) -> bool:
        """Whether bus mastering is enabled; Xen disables it for a device with too many faults."""
        return bool((self.directory / "config").read_bytes()[COMMAND] & MASTER)

    def load(self, address: int, count: int) -> None:
        """Read RAM at a bus address into the buffer."""
        self._move(address, BUFFER, count, RUN)

    def store(self, address: int, count: int) -> None:
        """Write the buffer to RAM at a bus address."""
        self._move(BUFFER, address, count, RUN | TO_RAM)

    def _move(self, source: int, target: int, count: int, order: int) -> None:
        registers = self.registers
        registers[SOURCE], registers[TARGET], registers[COUNT] = source, target, count
        registers[ORDER] = order
        deadline = time.monotonic() + patient(100 * DMA_S)
        while registers[ORDER] & RUN:
            assert time.monotonic() < deadline, "the DMA of the device does not end"
            time.sleep(DMA_S)

    def __exit__(self, *_: object) -> None:
        self.registers.release()
        self.bar.close()
