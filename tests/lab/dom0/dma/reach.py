"""What a device reaches, and the faults that Xen tells of what it does not."""

import re
import time
from collections.abc import Sequence
from typing import NamedTuple

from edu import Edu

from xenlib_cffi.ctrl import Ctrl

#: bytes of a page that are read and written, at its beginning
WORD = 8
#: seconds that Xen may take to say that there was a fault
SAYS = 5.0
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

    def take(self, word: bytes) -> None:
        """Have this in its buffer."""
        self.page[:WORD] = word
        self.edu.load(self.address, WORD)

    def reads(self, address: int) -> bytes:
        """What it reads at a bus address."""
        self.take(b"nothing!")
        self.edu.load(address, WORD)
        self.edu.store(self.address, WORD)
        return bytes(self.page[:WORD])

    def writes(self, address: int, word: bytes) -> None:
        """Have it write at a bus address."""
        self.take(word)
        self.edu.store(address, WORD)

    def faults(self, expected: int) -> Sequence[Fault]:
        """What has faulted since this was asked last, by Xen's log; waits for as many."""
        said, deadline = "", time.monotonic() + SAYS
        while True:
            said += self.ctrl.console(clear=True)
            found = [Fault(kind, int(address, 16)) for kind, address in _FAULT.findall(said)]
            if len(found) >= expected or time.monotonic() > deadline:
                return found
            time.sleep(0.1)

    def can(self, page: memoryview, address: int) -> str:
        """What it can do with a granted page at a bus address: `rw`, `r`, `w`, or nothing.

        It is seen in the page and in what the device has read; Xen has to have told of just the
        rest, and the device to have been left in peace by it. QEMU has no fault where its IOTLB
        knows a page already, and knows that it is for reading.
        """
        page[:WORD] = GRANTERS
        self.writes(address, DEVICES)
        now = bytes(page[:WORD])
        assert now in {GRANTERS, DEVICES}
        written, read = now == DEVICES, self.reads(address) == now
        refused = [Fault("Write", address)] * (not written) + [Fault("Read", address)] * (not read)
        found = self.faults(0 if read else len(refused))
        assert found == refused or (read and not found)
        assert self.edu.masters
        return "r" * read + "w" * written
