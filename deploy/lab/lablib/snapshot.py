"""Snapshots: save a lab after its boot, and resume it within seconds.

A snapshot is the state that QEMU's `savevm` stores, memory and devices, in the overlays of dom0's
and the guest's disk. Its cache key covers every input of the saved machine, so a lab with other
inputs never resumes it. Only xengt's package is not part of the key: the current package is
installed after resuming.
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
"""Files of a lab's directory that a snapshot contains beside the overlays."""

MIN_FREE = 4 << 30
"""Bytes that must be free on the file system of the cache before a lab is saved."""

COPY = ("cp", "--sparse=always", "--reflink=auto")


@dataclass(frozen=True)
class Snapshot:
    """A snapshot in the cache, which may not exist yet.

    Attributes:
        cache: the cache.
        name: its cache key.
        machine: the virtual machine.
    """

    cache: Cache
    name: str
    machine: qemu.Machine

    @property
    def directory(self) -> Path:
        """Return its directory in the cache."""
        return self.cache.root / KIND / self.name

    def copy_to(self, home: Path) -> bool:
        """Copy the snapshot to a lab's directory; return False if it does not exist.

        Args:
            home: the directory of the lab that resumes.
        """
        with self.cache.locked(KIND):  # another lab that is saved may remove this snapshot
            if not self.directory.is_dir():
                return False
            self.cache.touch(self.directory)
            files = [self.directory / name for name in (*self._disks(), *FILES)]
            subprocess.run([*COPY, *map(str, files), str(home)], check=True)
        (home / "key").chmod(0o600)  # ssh rejects a key that others can read
        return True

    def save(self, home: Path) -> None:
        """Save a running lab, which continues to run; a failure is only reported.

        Args:
            home: the lab's directory with the overlays and the monitor's socket.
        """
        free = shutil.disk_usage(self.cache.root).free
        if free < MIN_FREE:
            print_message(
                f"no snapshot is saved: {self.cache.root} has {free >> 20} MiB of free space, and"
                f" {MIN_FREE >> 20} MiB are required"
            )
            return
        try:
            with step("saving the lab"), Monitor(home / "monitor") as monitor:
                monitor.do("stop")
                try:
                    if output := monitor.do(f"savevm {qemu.SNAPSHOT}"):
                        raise LabError(f"QEMU: {output}")
                    self.cache.entry(KIND, self.name, lambda entry: self._copy_from(home, entry))
                finally:
                    monitor.do("cont")
        except LabError as error:
            print_message(f"no snapshot is saved: {error.what}")
        except subprocess.CalledProcessError as error:
            print_message(f"no snapshot is saved: {error}")

    def drop(self, home: Path) -> None:
        """Remove a snapshot that cannot be resumed, and its copy in a lab's directory.

        Args:
            home: the directory of the lab.
        """
        with self.cache.locked(KIND):
            remove(self.directory)
        for name in (*self._disks(), *FILES):
            (home / name).unlink(missing_ok=True)

    def _copy_from(self, home: Path, entry: Path) -> None:
        entry.chmod(0o700)
        files = [home / name for name in (*self._disks(), *FILES)]
        subprocess.run([*COPY, *map(str, files), str(entry)], check=True)

    def _disks(self) -> list[str]:
        return [f"{disk}.qcow2" for disk in self.machine.disks()]


def snapshot_for(cache: Cache, machine: qemu.Machine, image: Path, started: str) -> Snapshot | None:
    """Return the snapshot of a machine, which may not exist yet; None if QEMU cannot save it.

    Args:
        cache: the cache.
        machine: the virtual machine.
        image: the directory of the disk image.
        started: the domains that are started before the machine is saved: `dom0` or `guest PAGES`.
    """
    # QEMU 7.2 saves neither AMD-Vi nor a vCPU in guest mode, which a PVH dom0 runs in.
    if machine.iommu == "strict-amd" or machine.dom0 == "pvh" or machine.monitor is None:
        return None
    return Snapshot(cache, key(_inputs(machine, image, started)), machine)


def make_overlays(home: Path, machine: qemu.Machine, image: Path) -> None:
    """Make an empty overlay for each of a machine's disks in a lab's directory."""
    for disk in machine.disks():
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw"]
        command += ["-b", str(image / "disk.img"), str(home / f"{disk}.qcow2")]
        subprocess.run(command, check=True)


def _inputs(machine: qemu.Machine, image: Path, started: str) -> Iterator[bytes]:
    """Yield the inputs of the saved machine, for the cache key."""
    yield qemu.version().encode()
    yield from (word.encode() for word in machine.identity())
    yield _digest(machine.xen)
    for name in ("vmlinuz", "initramfs"):
        yield _digest((image / machine.kernel) / name)
    # The overlays refer to this file by name, and each build of an image makes another file system.
    yield str(image).encode()
    yield (image / "id").read_bytes()
    yield started.encode()


def _digest(file: Path) -> bytes:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()
