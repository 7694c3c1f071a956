"""Read dom0's serial console: is it up, is it lost."""

from dataclasses import dataclass
from pathlib import Path

READY = b"xengt-lab: dom0 is ready"
UNUSABLE = b"xengt-lab: dom0 is not usable"

DEATHS = (
    b"Panic on CPU",
    b"Kernel panic - not syncing",
    b"Hardware Dom0 crashed",
    b"Hardware Dom0 shutdown",
    b"Hardware Dom0 halted",
    b"xengt-lab: no disk",
    UNUSABLE,
)
"""What the hypervisor, Linux or dom0's own start says when nothing more will come."""


@dataclass
class Console:
    """The console's log, read as it grows.

    Attributes:
        path: the file QEMU writes.
        offset: bytes read so far.
        ready: dom0 has said that it can be used.
        death: the line that says the machine is lost.
        deaths: what makes such a line; none for a machine that starts again by itself.
    """

    path: Path
    offset: int = 0
    ready: bool = False
    death: str | None = None
    deaths: tuple[bytes, ...] = DEATHS
    _partial: bytes = b""

    def read(self) -> bool:
        """Take in what has come; return whether anything has."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            return False
        self.offset += len(data)
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in [*lines, self._partial]:
            self.ready = self.ready or READY in line
            if self.death is None and any(word in line for word in self.deaths):
                self.death = line.decode("utf-8", "replace").strip()
        return bool(data)
