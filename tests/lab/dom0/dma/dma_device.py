"""What a device reaches, and the faults that Xen tells of what it does not.

QEMU's VT-d has a fault for each access that it refuses, but for a write to what its IOTLB knows
already to be for reading. Its AMD-Vi has none where a table has nothing (amdvi_page_walk() of its
hw/i386/amd_iommu.c), so Xen has nothing to tell.
"""

import re
import time
from pathlib import Path
from typing import NamedTuple

from edu import Edu

from xenlib_cffi.ctrl import Ctrl

#: bytes of a page that are read and written, at its beginning
WORD = 8
#: ACPI's table of VT-d IOMMUs, under the name that Xen gives it for dom0 not to use them
VTD = Path("/sys/firmware/acpi/tables/XMAR")
#: seconds that Xen may take to say that there was a fault
LOG_DELAY_S = 5.0
GRANTERS, DEVICES = b"granter ", b"device  "
_FAULT = re.compile(r"DMAR:\[DMA (Read|Write)\] Request device \[\S+\] fault addr ([0-9a-f]+)")


class Fault(NamedTuple):
    """A line of Xen's log."""

    kind: str
    address: int


class Device:
    """A device, with a page of its own to bring data from, and take it to.

    Args:
        edu: switched on.
        ctrl: open; Xen's log is read, and emptied, through it.
        page: the device's own, as the CPU sees it.
        address: its bus address.
    """

    def __init__(self, edu: Edu, ctrl: Ctrl, page: memoryview, address: int) -> None:
        self.edu, self.ctrl, self.page, self.address = edu, ctrl, page, address

    def load_word(self, word: bytes) -> None:
        """Have this in its buffer."""
        self.page[:WORD] = word
        self.edu.load(self.address, WORD)

    def read(self, address: int) -> bytes:
        """What it reads at a bus address."""
        self.load_word(b"nothing!")
        self.edu.load(address, WORD)
        self.edu.store(self.address, WORD)
        return bytes(self.page[:WORD])

    def write(self, address: int, word: bytes) -> None:
        """Have it write at a bus address."""
        self.load_word(word)
        self.edu.store(address, WORD)

    def reports_faults(self, *faults: Fault) -> bool:
        """Whether Xen has told of these faults, and no others, since this was asked last."""
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
        """What it can do with a granted page at a bus address: `rw`, `r`, `w`, or nothing.

        It is seen in the page and in what the device has read; Xen has to have told of just the
        rest, and the device to have been left in peace by it.
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
