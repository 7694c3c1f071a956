"""Labs for `lab up --grub`: SeaBIOS, GRUB and Debian's Xen on a persistent disk."""

import os
import shlex
import shutil
import struct
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from lablib import boot, places, qemu, remote, session
from lablib.artifacts import image
from lablib.artifacts.roots import dom0_root
from lablib.build_process import as_root, run
from lablib.cache import Cache, key, remove
from lablib.console import Console
from lablib.output import step
from lablib.record import Record, directory, process_start

PACKAGES = ("grub-pc", "xen-hypervisor-common")
"""Debian's boot loader and the package that adds Xen to its menu."""

SECTOR = 512
START = 2048
"""First sector of the partition; the sectors before it are for the boot loader."""

DEFAULTS = """
GRUB_TIMEOUT=0
GRUB_TERMINAL=serial
GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"
GRUB_DISABLE_LINUX_UUID=true
GRUB_DISABLE_RECOVERY=true
GRUB_CMDLINE_XEN={xen}
GRUB_CMDLINE_LINUX={linux}
"""
"""Lines to append to /etc/default/grub: a serial console and the lab's command lines."""

MAKE = ("mke2fs", "-q", "-F", "-t", "ext4", "-E", f"offset={START * SECTOR}")

START_TARGET = "systemctl start --no-block --job-mode=replace-irreversibly"
"""The start of a target as by `systemctl reboot`, which needs D-Bus, and dom0 has none."""

BOOT_TIMEOUT = 1200.0
"""Seconds until dom0 must be ready."""

INSTALL = "grub-install /dev/vda && update-grub && rm -f /root/.bash_history && sync"
"""Installs GRUB on the disk of the running machine."""


def partition_table(sectors: int) -> bytes:
    """Return the master boot record of a disk with one bootable Linux partition.

    Args:
        sectors: number of sectors of the disk.
    """
    entry = struct.pack("<B3sB3sII", 0x80, b"\xff" * 3, 0x83, b"\xff" * 3, START, sectors - START)
    return b"\0" * 446 + entry + b"\0" * 48 + b"\x55\xaa"


def build(cache: Cache) -> Path:
    """Return the directory with `disk.img` and the ssh `key` that may log in.

    Args:
        cache: the cache.

    Raises:
        LabError: the disk does not boot, or GRUB cannot be installed on it.
    """
    base = dom0_root(cache, "dom0-grub", PACKAGES)
    machine = qemu.Machine(Path())
    defaults = DEFAULTS.format(
        xen=shlex.quote(machine.xen_command_line()), linux=shlex.quote(qemu.LINUX_OPTIONS)
    )
    parts = [*image.root_inputs(base), " ".join(MAKE).encode()]
    name = key([*parts, defaults.encode(), INSTALL.encode()])

    def make(entry: Path) -> None:
        log = cache.log("grub")
        with step("making a disk that boots through GRUB (once)"):
            image.make_root(entry, base, log)
            _configure(entry, defaults, log)
            xen = qemu.prepare_image(next((entry / "root/boot").glob("xen-*.gz")), entry)
            _format(entry, log)
            remove(entry / "root")
        with step("booting the disk to install GRUB (once)"):
            _install(entry, xen)
        for name in ("vmlinuz", "initramfs", "xen"):
            (entry / name).unlink()

    return cache.entry("grub", name, make)


def _configure(entry: Path, defaults: str, log: Path) -> None:
    """Add the initramfs, GRUB's defaults and the ssh key, which no command line passes to dom0."""
    boot = entry / "root/boot"
    version = next(boot.glob("vmlinuz-*")).name.removeprefix("vmlinuz-")
    run(as_root(["cp", entry / "initramfs", boot / f"initrd.img-{version}"]), log)
    _keygen(entry)
    (entry / "defaults").write_text(defaults)
    script = (
        'cat "$1/defaults" >> "$1/root/etc/default/grub" && umask 077'
        ' && cat "$1/key.pub" > "$1/root/root/.ssh/authorized_keys"'
    )
    run(as_root(["sh", "-euc", script, "sh", entry]), log)
    (entry / "defaults").unlink()


def _keygen(home: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(home / "key")]
    subprocess.run(command, check=True)


def _format(entry: Path, log: Path) -> None:
    disk = entry / "disk.img"
    disk.write_bytes(partition_table(image.SIZE // SECTOR))
    os.truncate(disk, image.SIZE)
    kilobytes = (image.SIZE - START * SECTOR) // 1024
    run(as_root([*MAKE, "-d", entry / "root", disk, f"{kilobytes}k"]), log)


def _install(entry: Path, xen: Path) -> None:
    """Boot the disk once with QEMU's loader and install GRUB with Debian's tools."""
    name = f"grub-{os.getpid()}"
    session.make_directory(name)
    try:
        record = _start(name, qemu.Machine(xen, persistent_disk=True), entry, entry, detached=False)
        boot.wait_for_dom0(record, BOOT_TIMEOUT)
        if remote.execute(record, [f"({INSTALL}) > /dev/hvc0 2>&1"], timeout=BOOT_TIMEOUT):
            raise boot.error_with_console(record, "GRUB could not be installed on the disk")
        remote.execute(record, [f"{START_TARGET} poweroff.target"])
        deadline = time.monotonic() + BOOT_TIMEOUT
        while record.alive():
            if time.monotonic() > deadline:
                raise boot.error_with_console(record, "the lab did not power off")
            time.sleep(boot.POLL)
    finally:
        session.down(name)


def _start(name: str, machine: qemu.Machine, disk: Path, keys: Path, *, detached: bool) -> Record:
    """Start QEMU and write the lab's record.

    Args:
        name: of the lab; its directory exists.
        machine: the virtual machine.
        disk: the directory with `disk.img`.
        keys: the directory with the ssh key that may log in.
        detached: see `qemu.start`.
    """
    home = directory(name)
    for file in ("key", "key.pub"):
        shutil.copyfile(keys / file, home / file)
    (home / "key").chmod(0o600)  # ssh rejects a key that others can read
    port = qemu.free_port()
    public = (home / "key.pub").read_text().split()[1]
    process = qemu.start(
        machine.command(port, public, home / "console.log"),
        disk,
        home / "qemu.log",
        detached=detached,
    )
    record = Record(
        name=name,
        pid=process.pid,
        born=process_start(process.pid) or 0,
        port=port,
        hypervisor="its own",
        exact=False,
        iommu=None,
        guest=False,
    )
    record.save()
    return record


def up(name: str, timeout: float = BOOT_TIMEOUT, *, detached: bool = True) -> Record:
    """Start a lab on a copy of the disk and return when dom0 is ready.

    Args:
        name: its name, which no running lab has.
        timeout: seconds until dom0 must be ready.
        detached: the lab outlives this process.

    Raises:
        LabError: a running lab has this name, or the boot failed.
    """
    cache = Cache(places.cache_root())
    disk = build(cache)
    home = session.make_directory(name)
    try:
        copy = ["cp", "--sparse=always", "--reflink=auto", str(disk / "disk.img"), str(home)]
        subprocess.run(copy, check=True)
        machine = qemu.Machine(Path(), persistent_disk=True, grub=True)
        record = _start(name, machine, home, disk, detached=detached)
        with step("booting GRUB, Xen and dom0"):
            boot.wait_for_dom0(record, timeout)
    except BaseException:
        session.down(name)
        raise
    return record


def reboot(record: Record, timeout: float = BOOT_TIMEOUT) -> str:
    """Reboot a lab; return its console output until dom0 is ready again.

    QEMU is started again for each reset: a reset under software emulation does not clear the state
    of the previous hypervisor completely, and the next one may hang.

    Args:
        record: from `up`.
        timeout: seconds until dom0 must be ready, including failed boots in between.

    Raises:
        LabError: dom0 was not ready in time.
    """
    begin = record.console.stat().st_size
    remote.execute(record, [f"{START_TARGET} reboot.target"])
    # The end of QEMU does not close the connection: the next command would wait for it forever.
    remote.close_connection(record)
    deadline = time.monotonic() + timeout
    console = Console(record.console, offset=begin, failure_markers=())
    with step("rebooting"):
        while not console.ready:
            if not record.alive():
                record = _restart(record)
            if time.monotonic() > deadline:
                message = f"dom0 was not ready {timeout:.0f} s after the reboot (--boot-timeout)"
                raise boot.error_with_console(record, message)
            time.sleep(boot.POLL)
            console.read()
    return record.console.read_bytes()[begin:].decode("utf-8", "replace")


def _restart(record: Record) -> Record:
    """Start QEMU again after a reset has ended it; return the new record."""
    home = record.directory
    machine = qemu.Machine(Path(), persistent_disk=True, grub=True)
    command = machine.command(record.port, "", home / "console.log")
    process = qemu.start(command, home, home / "qemu.log", detached=True)
    restarted = replace(record, pid=process.pid, born=process_start(process.pid) or 0)
    restarted.save()
    return restarted
