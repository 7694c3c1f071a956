"""What is known of a lab that is up: a directory with a record, found again by name."""

import json
import os
import shutil
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from lablib import places


@dataclass(frozen=True)
class Record:
    """One running lab.

    Attributes:
        name: what the user calls it.
        pid: QEMU's.
        born: when that process started, in the kernel's ticks: a pid comes back, this does not.
        port: on 127.0.0.1, of dom0's ssh.
        hypervisor: `stock`, `patched` or the path of the image.
        exact: the instruction clock is on.
        iommu: see `qemu.Machine`.
        guest: a guest runs.
        kernel: dom0's: `debian` or `patched`.
    """

    name: str
    pid: int
    born: int
    port: int
    hypervisor: str
    exact: bool
    iommu: str | None
    guest: bool
    kernel: str = "debian"

    @property
    def directory(self) -> Path:
        """Return where its key, its console's log and this record are."""
        return directory(self.name)

    @property
    def console(self) -> Path:
        """Return the log of dom0's serial console."""
        return self.directory / "console.log"

    def save(self) -> None:
        """Write the record, whole or not at all."""
        half = self.directory / "record.half"
        half.write_text(json.dumps(asdict(self), indent=1))
        half.rename(self.directory / "record.json")

    def alive(self) -> bool:
        """Tell whether QEMU still runs."""
        return birth(self.pid) == self.born

    def kill(self) -> None:
        """End QEMU and wait for it to be gone."""
        while self.alive():
            os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.05)


def directory(name: str) -> Path:
    """Return the directory of a lab of this name."""
    return places.cache_root() / "run" / name


def birth(pid: int) -> int | None:
    """Return a process's start time in ticks; none when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])


def load(name: str) -> Record | None:
    """Return the lab of this name if it is up; clear away one that died."""
    try:
        record = Record(**json.loads((directory(name) / "record.json").read_text()))
    except FileNotFoundError:
        return None
    if record.alive():
        return record
    shutil.rmtree(record.directory, ignore_errors=True)
    return None


def everyone() -> list[Record]:
    """Return all labs that are up."""
    names = sorted(path.parent.name for path in places.cache_root().glob("run/*/record.json"))
    return [record for record in map(load, names) if record is not None]
