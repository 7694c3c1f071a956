"""A box that boots by itself: SeaBIOS, GRUB on its own disk, Debian's stock Xen; writes stay."""

import os
import shlex
import shutil
import struct
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from lablib import places, qemu, remote, session
from lablib.artifacts import image
from lablib.artifacts.roots import dom0_root
from lablib.cache import Cache, key, remove
from lablib.commands import as_root, run
from lablib.console import Console
from lablib.output import step
from lablib.record import Record, birth, directory

PACKAGES = ("grub-pc", "xen-hypervisor-common")
"""Debian's boot loader, and its hypervisor's part in that, as on a box somebody installed."""

SECTOR = 512
START = 2048
"""First sector of the partition: what lies before it is the boot loader's."""

DEFAULTS = """
GRUB_TIMEOUT=0
GRUB_TERMINAL=serial
GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"
GRUB_DISABLE_LINUX_UUID=true
GRUB_DISABLE_RECOVERY=true
GRUB_CMDLINE_XEN={xen}
GRUB_CMDLINE_LINUX={linux}
"""
"""What the box's /etc/default/grub adds: a serial console, the lab's command lines."""

MAKE = ("mke2fs", "-q", "-F", "-t", "ext4", "-E", f"offset={START * SECTOR}")

LEAVE = "systemctl start --no-block --job-mode=replace-irreversibly"
"""What systemctl's own `reboot` does, which wants a bus that this dom0 has not."""

BOOT = 1200.0
"""Seconds a boot may take."""

INSTALL = "grub-install /dev/vda && update-grub && rm -f /root/.bash_history && sync"
"""As Debian's installer does it, on the running machine."""


def partition_table(sectors: int) -> bytes:
    """Return the first sector of a disk with one bootable Linux partition on it.

    Args:
        sectors: of the whole disk.
    """
    entry = struct.pack("<B3sB3sII", 0x80, b"\xff" * 3, 0x83, b"\xff" * 3, START, sectors - START)
    return b"\0" * 446 + entry + b"\0" * 48 + b"\x55\xaa"


def build(cache: Cache) -> Path:
    """Return the directory with the box's `disk.img` and the `key` that opens it.

    Args:
        cache: where it is kept.

    Raises:
        LabError: the box does not boot, or GRUB cannot be installed on it.
    """
    base = dom0_root(cache, "dom0-grub", PACKAGES)
    machine = qemu.Machine(Path())
    defaults = DEFAULTS.format(xen=shlex.quote(machine.xen_line()), linux=shlex.quote(qemu.LINUX))
    parts = [*image.ingredients(base), " ".join(MAKE).encode()]
    name = key([*parts, defaults.encode(), INSTALL.encode()])

    def make(entry: Path) -> None:
        log = cache.log("grub")
        with step("making the disk of a box that boots through GRUB"):
            image.fill(entry, base, log)
            _finish(entry, defaults, log)
            xen = qemu.usable(next((entry / "root/boot").glob("xen-*.gz")), entry)
            _format(entry, log)
            remove(entry / "root")
        with step("installing GRUB on it, from inside"):
            _install(entry, xen)
        for left in ("vmlinuz", "initramfs", "xen"):
            (entry / left).unlink()

    return cache.entry("grub", name, make)


def _finish(entry: Path, defaults: str, log: Path) -> None:
    """Add what the loader needs, and the key: no command line of the lab's brings one."""
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
    """Boot the disk once with the lab's own loader, and let Debian's tools install GRUB on it."""
    name = f"grub-{os.getpid()}"
    session.place(name)
    try:
        record = _start(name, qemu.Machine(xen, installed=True), entry, entry, stays=False)
        session.wait(record, BOOT)
        if remote.execute(record, [f"({INSTALL}) > /dev/hvc0 2>&1"], timeout=BOOT):
            raise session.lost(record, "GRUB could not be installed on the box")
        remote.execute(record, [f"{LEAVE} poweroff.target"])
        deadline = time.monotonic() + BOOT
        while record.alive():
            if time.monotonic() > deadline:
                raise session.lost(record, "the box did not switch off")
            time.sleep(session.POLL)
    finally:
        session.down(name)


def _start(name: str, machine: qemu.Machine, disk: Path, keys: Path, *, stays: bool) -> Record:
    """Start QEMU and write the lab's record.

    Args:
        name: of the lab; its directory is there.
        machine: what to start.
        disk: the directory with the disk.
        keys: the directory with the key that the disk knows.
        stays: see `qemu.start`.
    """
    home = directory(name)
    for file in ("key", "key.pub"):
        shutil.copyfile(keys / file, home / file)
    (home / "key").chmod(0o600)  # or ssh refuses it
    port = qemu.free_port()
    public = (home / "key.pub").read_text().split()[1]
    process = qemu.start(
        machine.command(port, public, home / "console.log"), disk, home / "qemu.log", stays=stays
    )
    record = Record(
        name=name,
        pid=process.pid,
        born=birth(process.pid) or 0,
        port=port,
        hypervisor="its own",
        exact=False,
        iommu=None,
        guest=False,
    )
    record.save()
    return record


def up(name: str, timeout: float = BOOT, *, stays: bool = True) -> Record:
    """Start a box of its own, on a copy of the disk, and return once dom0 can be used.

    Args:
        name: free, or of a lab that died. `lab ssh`, `put`, `get` and `down` take it.
        timeout: seconds until dom0 must be usable.
        stays: it outlives this process.

    Raises:
        LabError: there is one of this name, or the boot failed.
    """
    cache = Cache(places.cache_root())
    disk = build(cache)
    home = session.place(name)
    try:
        copy = ["cp", "--sparse=always", "--reflink=auto", str(disk / "disk.img"), str(home)]
        subprocess.run(copy, check=True)
        machine = qemu.Machine(Path(), installed=True, grub=True)
        record = _start(name, machine, home, disk, stays=stays)
        with step("booting GRUB, Xen and dom0"):
            session.wait(record, timeout)
    except BaseException:
        session.down(name)
        raise
    return record


def reboot(record: Record, timeout: float = BOOT) -> str:
    """Restart a box, and return what its console said until dom0 could be used again.

    Each reset is a new QEMU on the same disk: a hypervisor that starts in the state another one
    left, which a reset under software emulation does not wholly clear, may hang.

    Args:
        record: from `up`.
        timeout: seconds until then, boots in between that failed included.

    Raises:
        LabError: dom0 did not come back.
    """
    begin = record.console.stat().st_size
    remote.execute(record, [f"{LEAVE} reboot.target"])
    # The end of QEMU closes no connection: the next command would wait on this one for ever.
    remote.hang_up(record)
    deadline = time.monotonic() + timeout
    console = Console(record.console, offset=begin, deaths=())
    with step("rebooting"):
        while not console.ready:
            if not record.alive():
                record = _again(record)
            if time.monotonic() > deadline:
                raise session.lost(record, f"dom0 was not back after {timeout:.0f} s")
            time.sleep(session.POLL)
            console.read()
    return record.console.read_bytes()[begin:].decode("utf-8", "replace")


def _again(record: Record) -> Record:
    """Switch a box on that a reset has ended."""
    home = record.directory
    machine = qemu.Machine(Path(), installed=True, grub=True)
    command = machine.command(record.port, "", home / "console.log")
    process = qemu.start(command, home, home / "qemu.log", stays=True)
    again = replace(record, pid=process.pid, born=birth(process.pid) or 0)
    again.save()
    return again
