"""A lab's life: up, in use, down."""

import os
import shutil
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

from lablib import hypervisor, image, initramfs, kernel, package, places, qemu, remote
from lablib.cache import Cache
from lablib.console import Console
from lablib.errors import EXIT_USAGE, LabError
from lablib.record import Record, birth, directory, everyone, load
from lablib.roots import dom0_root
from lablib.work import say, step

POLL = 0.1
SOCKET_PATH = 108
"""Bytes that a Unix socket's path may have, with the one that ends it."""
SILENCE = 300.0
"""Seconds without a byte on the console after which a boot has hung."""


@dataclass(frozen=True)
class Options:
    """What the user asked for.

    Attributes:
        hypervisor: one of `hypervisor.VARIANTS`.
        patches: how many of the series a patched one has; all when nothing is said.
        xen: an image to boot instead.
        xen_source: a tree or tarball of Xen that the hypervisor is built from, instead of Debian's
            source.
        exact: see `qemu.Machine`.
        threads: see `qemu.Machine`.
        iommu: see `qemu.Machine`.
        kernel: of dom0, one of `kernel.KERNELS`.
        linux_source: a tree or tarball of Linux that a patched one is built from, likewise.
        guest: start a guest that shares pages with dom0.
        guest_pages: how many it shares.
        xen_args: further words for Xen's command line.
        boot_timeout: seconds until dom0 must be usable.
    """

    hypervisor: str = "stock"
    patches: int | None = None
    xen: Path | None = None
    xen_source: Path | None = None
    exact: bool = False
    threads: str = "single"
    iommu: str | None = None
    kernel: str = "debian"
    linux_source: Path | None = None
    guest: bool = False
    guest_pages: int = 256
    xen_args: str = ""
    boot_timeout: float = 1200.0


def build(cache: Cache, options: Options) -> tuple[Path, Path]:
    """Return the image's directory and the hypervisor, from the cache or built."""
    jobs = os.cpu_count() or 1
    if options.kernel == "patched":
        kernel.build(cache, jobs, local=options.linux_source)
    xen = options.xen or _built(cache, options, jobs)
    return image.build(cache, package.build(cache, jobs)), xen


def _built(cache: Cache, options: Options, jobs: int) -> Path:
    chosen = (options.hypervisor, jobs, options.patches, options.xen_source)
    return hypervisor.build(cache, *chosen) / "xen"


def up(name: str, options: Options, *, stays: bool) -> Record:
    """Boot a lab and return once dom0 can be used.

    Args:
        name: free, or of a lab that died.
        options: what to boot.
        stays: it outlives this process.

    Raises:
        LabError: there is one of this name, or the boot failed; then the console's log is left.
    """
    home = place(name)
    try:
        if options.xen is not None:
            options = replace(options, xen=qemu.usable(options.xen, home))
        cache = Cache(places.cache_root())
        disk, xen = build(cache, options)
        booted = Path() if options.kernel == "debian" else _boot_files(cache, home, options)
        record = _start(name, disk, xen, booted, options, stays=stays)
        with step("booting Xen and dom0"):
            wait(record, options.boot_timeout)
        if options.guest:
            with step("starting the guest"):
                _start_guest(record, options)
    except BaseException:
        down(name)
        raise
    return record


def _boot_files(cache: Cache, home: Path, options: Options) -> Path:
    """Make the patched kernel's `vmlinuz` and `initramfs` in a lab's directory; return it."""
    built = kernel.build(cache, os.cpu_count() or 1, local=options.linux_source)
    modules = next((built / "modules").iterdir())
    script = places.LAB / "dom0/initramfs-init"
    (home / "vmlinuz").write_bytes((built / "vmlinuz").read_bytes())
    (home / "initramfs").write_bytes(initramfs.build_for(modules, dom0_root(cache), script))
    return home


def place(name: str) -> Path:
    """Make the directory of a lab that is to be, empty.

    Raises:
        LabError: there is one of this name.
    """
    if load(name) is not None:
        raise LabError(
            f"a lab named {name} is up already",
            f"use it (lab ssh --name {name}), end it (lab down --name {name}), or name another",
            exit_code=EXIT_USAGE,
        )
    everyone()  # clears away what killed labs left
    home = directory(name)
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True, mode=0o700)
    return home


def _start(
    name: str, disk: Path, xen: Path, booted: Path, options: Options, *, stays: bool
) -> Record:
    home = directory(name)
    keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(home / "key")]
    subprocess.run(keygen, check=True)
    key = (home / "key.pub").read_text().split()[1]
    machine = qemu.Machine(
        xen=xen,
        exact=options.exact,
        threads=options.threads,
        iommu=options.iommu,
        kernel=booted,
        guest_disk=options.guest,
        xen_args=options.xen_args,
        monitor=_monitor(home) if options.exact else None,
    )
    port = qemu.free_port()
    command = machine.command(port, key, home / "console.log")
    process = qemu.start(command, disk, home / "qemu.log", stays=stays)
    record = Record(
        name=name,
        pid=process.pid,
        born=birth(process.pid) or 0,
        port=port,
        hypervisor=str(xen if _is_special(options) else options.hypervisor),
        exact=options.exact,
        iommu=options.iommu,
        guest=options.guest,
        kernel=options.kernel,
    )
    record.save()
    return record


def _is_special(options: Options) -> bool:
    """Tell whether the hypervisor is another one than the variant's name alone says."""
    return bool(options.xen or options.patches or options.xen_source)


def wait(record: Record, timeout: float, console: Console | None = None) -> None:
    """Wait for dom0 to say that it is ready; see how else a boot can end.

    Args:
        record: the lab.
        timeout: seconds until dom0 must be usable.
        console: its console, read up to where the boot begins; none is a boot from its first word.

    Raises:
        LabError: the boot failed, hung or took too long; the console's log is kept.
    """
    console = console or Console(record.console)
    begin = heard = time.monotonic()
    while not console.ready:
        alive = record.alive()
        now = time.monotonic()
        if console.read():
            heard = now
        if console.death:
            raise lost(record, f"the boot failed: {console.death}")
        if not alive:
            said = " ".join((record.directory / "qemu.log").read_text(errors="replace").split())
            raise lost(record, f"QEMU ended during the boot: {said or 'it said nothing'}")
        if now - heard > SILENCE:
            raise lost(record, f"the boot hung: {SILENCE:.0f} s without a word on the console")
        if now - begin > timeout:
            raise lost(record, f"dom0 was not usable after {timeout:.0f} s")
        time.sleep(POLL)


def lost(record: Record, what: str) -> LabError:
    """Keep a lab's console; return the error that says what befell it."""
    kept = places.cache_root() / "log" / f"console-{record.name}.log"
    shutil.copyfile(record.console, kept) if record.console.exists() else kept.write_text("")
    return LabError(what, f"the whole console is in {kept}", kept)


def _start_guest(record: Record, options: Options) -> None:
    command = [*remote.ssh(record), f"/usr/lib/xengt-lab/guest {options.guest_pages}"]
    started = subprocess.run(command, check=False, capture_output=True, text=True)
    if started.returncode != 0:
        for text in (started.stdout + started.stderr).splitlines()[-25:]:
            say(f"  {text}")
        raise lost(record, "the guest did not start")


def _monitor(home: Path) -> Path | None:
    """Return where QEMU's monitor listens; none when the path is too long for a socket."""
    path = home / "monitor"
    return path if len(str(path)) < SOCKET_PATH else None


def down(name: str) -> bool:
    """End a lab; return whether there was one. Its directory goes too."""
    record = load(name)
    if record is not None:
        record.kill()
    shutil.rmtree(directory(name), ignore_errors=True)
    return record is not None
