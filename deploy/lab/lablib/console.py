"""Recognise a ready or failed dom0 by its serial console."""

from dataclasses import dataclass
from pathlib import Path

READY_MARKER = b"xengt-lab: dom0 is ready"
UNUSABLE = b"xengt-lab: dom0 is not usable"
LIMITATION = b"xengt-lab: limitation: "

FAILURE_MARKERS = (
    b"Panic on CPU",
    b"Kernel panic - not syncing",
    b"Hardware Dom0 crashed",
    b"Hardware Dom0 shutdown",
    b"Hardware Dom0 halted",
    b"xengt-lab: no disk",
    UNUSABLE,
)
"""Messages of the hypervisor, Linux or dom0's start scripts after which dom0 will not be ready."""


@dataclass
class Console:
    """The console log, read while QEMU writes it.

    Attributes:
        path: the log file.
        offset: bytes read so far.
        ready: dom0 has reported that it is ready.
        failure: the first line with a failure marker.
        limitation: what does not work in a dom0 that is ready; None if everything works.
        failure_markers: FAILURE_MARKERS; () for a machine that reboots by itself after a failure.
    """

    path: Path
    offset: int = 0
    ready: bool = False
    failure: str | None = None
    limitation: str | None = None
    failure_markers: tuple[bytes, ...] = FAILURE_MARKERS
    _partial: bytes = b""

    def read(self) -> bool:
        """Read new output; return whether there was any."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            return False
        self.offset += len(data)
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            if LIMITATION in line:
                self.limitation = line.partition(LIMITATION)[2].decode("utf-8", "replace").strip()
        for line in [*lines, self._partial]:
            self.ready = self.ready or READY_MARKER in line
            if self.failure is None and any(marker in line for marker in self.failure_markers):
                self.failure = line.decode("utf-8", "replace").strip()
        return bool(data)
