"""Save a lab once it has booted, and resume it in seconds afterwards.

A snapshot is what QEMU's `savevm` stores: memory and devices, in the overlays of dom0's and the
guest's disk. Its key covers everything that the saved machine was made from, so a lab with other
inputs never resumes it. Only xengt's package is not part of the key: the current one is installed
after resuming.
"""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lablib import qemu
from lablib.cache import Cache, key, remove
from lablib.errors import LabError
from lablib.monitor import Monitor
from lablib.output import print_message, step

KIND = "snapshot"
"""The kind of cache entry; `lablib.cache` limits their number and size."""

FILES = ("key", "key.pub", "console.log")
"""Files of a lab's directory that are kept beside the overlays."""

SPACE = 4 << 30
"""Bytes that must be free on the cache's file system: a lab is not saved on a disk that is full."""

COPY = ("cp", "--sparse=always", "--reflink=auto")


@dataclass(frozen=True)
class Snapshot:
    """A saved lab, which may not exist yet.

    Attributes:
        cache: where it is kept.
        name: its key.
        machine: the virtual machine, without anything of one lab's.
    """

    cache: Cache
    name: str
    machine: qemu.Machine

    @property
    def directory(self) -> Path:
        """Return where it is kept."""
        return self.cache.root / KIND / self.name

    def copy_to(self, home: Path) -> bool:
        """Copy the saved files to a lab's directory; return False if there is no such snapshot.

        Args:
            home: the directory of the lab that resumes.
        """
        with self.cache.locked(KIND):  # or another lab's save removes it meanwhile
            if not self.directory.is_dir():
                return False
            self.cache.touch(self.directory)
            files = [self.directory / name for name in (*self._disks(), *FILES)]
            subprocess.run([*COPY, *map(str, files), str(home)], check=True)
        (home / "key").chmod(0o600)  # or ssh refuses it
        return True

    def save(self, home: Path) -> None:
        """Save a running lab. It continues to run, whether or not this succeeds.

        Args:
            home: the lab's directory, which has the overlays and the monitor's socket.
        """
        free = shutil.disk_usage(self.cache.root).free
        if free < SPACE:
            print_message(
                f"this lab is not saved: {self.cache.root} has only {free >> 20} MiB left"
            )
            return
        try:
            with step("saving the lab"), Monitor(home / "monitor") as monitor:
                monitor.do("stop")
                try:
                    if said := monitor.do(f"savevm {qemu.SNAPSHOT}"):
                        raise LabError(f"QEMU: {said}")
                    self.cache.entry(KIND, self.name, lambda entry: self._keep(home, entry))
                finally:
                    monitor.do("cont")
        except LabError as error:
            print_message(f"this lab is not saved: {error.what}")

    def drop(self, home: Path) -> None:
        """Remove a snapshot that cannot be resumed, and what `copy_to` copied of it.

        Args:
            home: the directory of the lab that did not resume.
        """
        with self.cache.locked(KIND):
            remove(self.directory)
        for name in (*self._disks(), *FILES):
            (home / name).unlink(missing_ok=True)

    def _keep(self, home: Path, entry: Path) -> None:
        entry.chmod(0o700)
        files = [home / name for name in (*self._disks(), *FILES)]
        subprocess.run([*COPY, *map(str, files), str(entry)], check=True)

    def _disks(self) -> list[str]:
        return [f"{disk}.qcow2" for disk in self.machine.disks()]


def of(cache: Cache, machine: qemu.Machine, image: Path, started: str) -> Snapshot | None:
    """Return the snapshot of a machine, or None if QEMU cannot save this machine.

    Args:
        cache: where it is kept.
        machine: the virtual machine.
        image: the directory of the disk image.
        started: what was started in the machine before it is saved.
    """
    if machine.iommu == "strict-amd" or machine.monitor is None:
        return None  # QEMU 7.2 does not save AMD-Vi
    return Snapshot(cache, key(_inputs(machine, image, started)), machine)


def overlays(home: Path, machine: qemu.Machine, image: Path) -> None:
    """Make the empty overlays of a machine's disks in a lab's directory."""
    for disk in machine.disks():
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw"]
        command += ["-b", str(image / "disk.img"), str(home / f"{disk}.qcow2")]
        subprocess.run(command, check=True)


def _inputs(machine: qemu.Machine, image: Path, started: str) -> Iterator[bytes]:
    """Yield everything that decides what the saved machine is."""
    yield qemu.version().encode()
    yield from (word.encode() for word in machine.identity())
    yield _digest(machine.xen)
    for name in ("vmlinuz", "initramfs"):
        yield _digest((image / machine.kernel) / name)
    # The overlays refer to this very file: the same recipe makes another file system each time.
    yield str(image).encode()
    yield (image / "id").read_bytes()
    yield started.encode()


def _digest(file: Path) -> bytes:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()
