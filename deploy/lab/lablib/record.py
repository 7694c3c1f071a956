"""The records of running labs: one directory per lab, named after it."""

import json
import os
import shutil
import signal
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from lablib import places


@dataclass(frozen=True)
class Record:
    """A running lab.

    Attributes:
        name: its name.
        pid: the pid of QEMU.
        born: the start time of QEMU in clock ticks since boot, as a pid may be reused: proc(5).
        port: the TCP port on 127.0.0.1 that is forwarded to dom0's ssh.
        hypervisor: the variant, or the path of the image.
        exact: the machine has the instruction clock.
        iommu: see `qemu.Machine`.
        guest: the lab has a guest.
        kernel: dom0's kernel: `debian` or `patched`.
        dom0: see `qemu.Machine`.
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
    dom0: str = "pv"

    @property
    def directory(self) -> Path:
        """Return the directory with its ssh key, its console log and this record."""
        return directory(self.name)

    @property
    def console(self) -> Path:
        """Return the log of dom0's serial console."""
        return self.directory / "console.log"

    def save(self) -> None:
        """Write the record atomically.

        Fields with their default value are left out: other checkouts, which share the cache, may
        not have them.
        """
        defaults = {each.name: each.default for each in fields(self)}
        written = {key: value for key, value in asdict(self).items() if value != defaults[key]}
        temporary = self.directory / "record.half"
        temporary.write_text(json.dumps(written, indent=1))
        temporary.rename(self.directory / "record.json")

    def alive(self) -> bool:
        """Return whether QEMU is running."""
        return process_start(self.pid) == self.born

    def kill(self) -> None:
        """Kill QEMU and wait until it has ended."""
        while self.alive():
            os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.05)


def directory(name: str) -> Path:
    """Return the directory of a lab by its name."""
    return places.cache_root() / "run" / name


def process_start(pid: int) -> int | None:
    """Return a process's start time in clock ticks since boot; None if it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])


def load(name: str) -> Record | None:
    """Return a running lab by its name, or None; remove the directory of a lab that has ended.

    Fields that another checkout has added to the record are ignored.
    """
    try:
        written = json.loads((directory(name) / "record.json").read_text())
    except FileNotFoundError:
        return None
    known = {each.name for each in fields(Record)}
    record = Record(**{key: value for key, value in written.items() if key in known})
    if record.alive():
        return record
    shutil.rmtree(record.directory, ignore_errors=True)
    return None


def running_labs() -> list[Record]:
    """Return the records of all running labs."""
    names = sorted(path.parent.name for path in places.cache_root().glob("run/*/record.json"))
    return [record for record in map(load, names) if record is not None]
