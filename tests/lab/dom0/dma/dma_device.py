"""The memory that a device can access, and the DMA faults that Xen logs.

QEMU's VT-d reports a fault for each refused access, except for a write to a page that its IOTLB
caches as read-only. QEMU's AMD-Vi reports none for an empty page table entry (amdvi_page_walk() of
hw/i386/amd_iommu.c), so Xen logs none.
"""

import re
import time
from pathlib import Path
from typing import NamedTuple

from edu import Edu

from xenlib_cffi.ctrl import Ctrl

#: number of bytes at the start of a page that the tests read and write
WORD = 8
#: ACPI's DMAR table of VT-d IOMMUs, which Xen renames so that dom0 does not use them
VTD = Path("/sys/firmware/acpi/tables/XMAR")
#: time in seconds within which Xen logs a fault
LOG_DELAY_S = 5.0
GRANTERS, DEVICES = b"granter ", b"device  "
_FAULT = re.compile(r"DMAR:\[DMA (Read|Write)\] Request device \[\S+\] fault addr ([0-9a-f]+)")


class Fault(NamedTuple):
    """A DMA fault in Xen's log: `Read` or `Write`, and its bus address."""

    kind: str
    address: int


class Device:
    """A device, with a page to exchange data with the CPU.

    Args:
        edu: the enabled device.
        ctrl: an open handle, to read and clear Xen's log.
        page: the page for the exchange, as mapped by the CPU.
        address: bus address of that page.
    """

    def __init__(self, edu: Edu, ctrl: Ctrl, page: memoryview, address: int) -> None:
        self.edu, self.ctrl, self.page, self.address = edu, ctrl, page, address

    def load_word(self, word: bytes) -> None:
        """Load a word into the device's buffer."""
        self.page[:WORD] = word
        self.edu.load(self.address, WORD)

    def read(self, address: int) -> bytes:
        """Return the word that the device reads at a bus address."""
        self.load_word(b"nothing!")
        self.edu.load(address, WORD)
        self.edu.store(self.address, WORD)
        return bytes(self.page[:WORD])

    def write(self, address: int, word: bytes) -> None:
        """Let the device write a word at a bus address."""
        self.load_word(word)
        self.edu.store(address, WORD)

    def reports_faults(self, *faults: Fault) -> bool:
        """Return whether Xen has logged exactly these faults since the last call."""
        if not VTD.exists():
            return "FAULT" not in self.ctrl.console(clear=True)
        log, deadline = "", time.monotonic() + LOG_DELAY_S
        while True:
            log += self.ctrl.console(clear=True)
            found = [Fault(kind, int(address, 16)) for kind, address in _FAULT.findall(log)]
            if len(found) >= len(faults) or time.monotonic() > deadline:
                return found == list(faults)
            time.sleep(0.1)

    def access(self, page: memoryview, address: int) -> str:
        """Return the device's access to a granted page at a bus address: `rw`, `r`, `w`, or "".

        Compares the content of the page and of the device's buffer. Xen must have logged a fault
        for each refused access, and must not have disabled the device.
        """
        page[:WORD] = GRANTERS
        self.write(address, DEVICES)
        content = bytes(page[:WORD])
        assert content in {GRANTERS, DEVICES}
        written, read = content == DEVICES, self.read(address) == content
        writes = [Fault("Write", address)] * (not written)
        assert self.reports_faults(*writes, *[Fault("Read", address)] * (not read)) or (
            read and writes
        )
        assert self.edu.bus_master
        return "r" * read + "w" * written
