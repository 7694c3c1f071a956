"""A lab's life: up, in use, down."""

import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from lablib import places, qemu, remote, snapshot
from lablib.artifacts import hypervisor, image, initramfs, kernel, package
from lablib.artifacts.roots import dom0_root
from lablib.cache import Cache
from lablib.console import Console
from lablib.errors import EXIT_USAGE, LabError, tail
from lablib.monitor import Monitor
from lablib.output import print_message, step
from lablib.record import Record, birth, directory, everyone, load
from lablib.snapshot import Snapshot

POLL = 0.1
SOCKET_PATH = 108
"""Bytes that a Unix socket's path may have, with the one that ends it."""
RESUME = 300.0
"""Seconds that a resumed dom0 may take to answer."""
UPGRADE = "cat > /run/xengt.deb && dpkg --install /run/xengt.deb && rm /run/xengt.deb"
"""Installs the package on stdin. Its service stays disabled, as the image has it."""
PLUGGED_IN = (
    "cd /sys/bus/pci/devices && for _ in $(seq 600); do "
    "test -e 0000:01:00.0 && test -e 0000:02:00.0 && exit; sleep 0.1; done; exit 1"
)
"""Waits for the devices of `qemu.PLUGGED`, each alone on the bus of its port."""
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
        boot: boot, even if a snapshot could be resumed, and save none.
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
    boot: bool = False
    boot_timeout: float = 1200.0


def build(cache: Cache, options: Options) -> tuple[Path, Path]:
    """Return the image's directory and the hypervisor, from the cache or built."""
    jobs = os.cpu_count() or 1
    with ThreadPoolExecutor() as pool:
        # Each waits for the network as well as for the CPU.
        root = pool.submit(dom0_root, cache)
        deb = pool.submit(package.build, cache, jobs)
        xen = pool.submit(lambda: options.xen or _built(cache, options, jobs))
        if options.kernel == "patched":
            kernel.build(cache, jobs, local=options.linux_source)
        root.result()
        return image.build(cache, deb.result()), xen.result()


def _built(cache: Cache, options: Options, jobs: int) -> Path:
    chosen = (options.hypervisor, jobs, options.patches, options.xen_source)
    return hypervisor.build(cache, *chosen) / "xen"


def up(name: str, options: Options, *, stays: bool) -> Record:
    """Start a lab and return once dom0 can be used.

    It resumes from a snapshot of the same lab, or boots and is saved.

    Args:
        name: free, or of a lab that died.
        options: what to start.
        stays: it outlives this process.

    Raises:
        LabError: there is one of this name, or the boot failed; then the console's log is left.
    """
    home = place(name)
    try:
        if options.iommu:
            _require_monitor(home)
        if options.xen is not None:
            options = replace(options, xen=qemu.usable(options.xen, home))
        cache = Cache(places.cache_root())
        disk, xen = build(cache, options)
        booted = Path() if options.kernel == "debian" else _boot_files(cache, home, options)
        start = Start(name, disk, _machine(home, xen, booted, options), options, stays=stays)
        saved = None if options.boot else start.snapshot(cache)
        record = (saved and _resume(start, saved)) or _boot(start, saved)
        if options.iommu:
            _plug(record)
        _install(record, disk, package.build(cache, os.cpu_count() or 1))
    except BaseException:
        down(name)
        raise
    return record


@dataclass(frozen=True)
class Start:
    """A lab that is about to start.

    Attributes:
        name: of the lab.
        disk: the image's directory.
        machine: what to start.
        options: what the user asked for.
        stays: it outlives this process.
    """

    name: str
    disk: Path
    machine: qemu.Machine
    options: Options
    stays: bool

    def snapshot(self, cache: Cache) -> Snapshot | None:
        """Return the snapshot that has this lab, or will have it; None if it cannot be saved."""
        started = f"guest {self.options.guest_pages}" if self.options.guest else "dom0"
        return snapshot.of(cache, self.machine, self.disk, started)


def _resume(start: Start, saved: Snapshot) -> Record | None:
    """Resume a lab; return None if it has not been saved, or cannot be resumed."""
    home = directory(start.name)
    if not saved.copy_to(home):
        return None
    resumed = replace(start, machine=replace(start.machine, overlays=home, resumes=True))
    with step("resuming the lab"):
        record = _launch(resumed)
        key = _keygen(home / "new-key")
        if _refresh(record, key):
            (home / "new-key").rename(home / "key")
            (home / "new-key.pub").rename(home / "key.pub")
            return record
    print_message("the saved lab does not resume: it is removed, and the lab boots")
    record.kill()
    saved.drop(home)
    return None


def _refresh(record: Record, key: str) -> bool:
    """Give a resumed dom0 its own ssh key, today's date and randomness; return whether it did.

    Args:
        record: the lab, with the key that it was saved with.
        key: the base64 of the ed25519 key that may log in from now on.
    """
    facts = f"{key}\n{time.time():.0f}\n{os.urandom(64).hex()}\n"
    command = [*remote.ssh(record), "/usr/lib/xengt-lab/resumed"]
    deadline = time.monotonic() + RESUME
    while record.alive() and time.monotonic() < deadline:
        done = subprocess.run(command, check=False, input=facts, text=True, capture_output=True)
        if done.returncode != remote.SSH_FAILED:
            break
        time.sleep(POLL)  # QEMU does not listen yet
    else:
        said = (record.directory / "qemu.log").read_text(errors="replace").strip()
        print_message(f"  QEMU: {said}" if said else "  dom0 does not answer ssh")
        return False
    for text in (done.stdout + done.stderr).splitlines():
        print_message(f"  {text}")
    return done.returncode == 0


def _boot(start: Start, saved: Snapshot | None) -> Record:
    """Boot a lab, and save it if it can be saved."""
    home = directory(start.name)
    key = _keygen(home / "key")
    if saved is not None:
        snapshot.overlays(home, start.machine, start.disk)
        start = replace(start, machine=replace(start.machine, overlays=home))
    record = _launch(start, key)
    with step("booting Xen and dom0"):
        wait(record, start.options.boot_timeout)
    if start.options.guest:
        with step("starting the guest"):
            _start_guest(record, start.options)
    if saved is not None:
        remote.hang_up(record)  # a saved connection would never end
        saved.save(home)
    return record


def _plug(record: Record) -> None:
    """Plug in the devices behind an IOMMU, and wait until dom0 has them."""
    with Monitor(record.directory / "monitor") as monitor:
        for command in qemu.PLUGGED:
            said = monitor.do(command)
            if said not in {"", "OK"}:
                raise lost(record, f"QEMU does not take {command!r}: {said}")
    done = subprocess.run([*remote.ssh(record), PLUGGED_IN], check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise lost(record, "dom0 does not see the devices that were plugged in")


def _install(record: Record, disk: Path, deb: Path) -> None:
    """Install the current package, unless the image that the lab started from has it."""
    if (disk / "package").read_text() == deb.parent.name:
        return
    log = record.directory / "package.log"
    with step("installing xengt's current package"), deb.open("rb") as given, log.open("wb") as out:
        command = [*remote.ssh(record), UPGRADE]
        done = subprocess.run(command, check=False, stdin=given, stdout=out, stderr=out)
    if done.returncode:
        raise lost(record, f"xengt's package does not install: {' '.join(tail(log, 1))}")


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


def _keygen(file: Path) -> str:
    """Make an ssh key; return the base64 of the public one."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(file)]
    subprocess.run(command, check=True)
    return file.with_name(f"{file.name}.pub").read_text().split()[1]


def _machine(home: Path, xen: Path, booted: Path, options: Options) -> qemu.Machine:
    return qemu.Machine(
        xen=xen,
        exact=options.exact,
        threads=options.threads,
        iommu=options.iommu,
        kernel=booted,
        guest_disk=options.guest,
        xen_args=options.xen_args,
        monitor=_monitor(home),
    )


def _launch(start: Start, key: str = "") -> Record:
    """Start QEMU and write the lab's record.

    Args:
        start: what to start.
        key: the base64 of the ed25519 key that may log in to a dom0 that boots.
    """
    home, options = directory(start.name), start.options
    port = qemu.free_port()
    command = start.machine.command(port, key, home / "console.log")
    process = qemu.start(command, start.disk, home / "qemu.log", stays=start.stays)
    record = Record(
        name=start.name,
        pid=process.pid,
        born=birth(process.pid) or 0,
        port=port,
        hypervisor=str(start.machine.xen if _is_special(options) else options.hypervisor),
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
    started = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if started.returncode != 0:
        for text in (started.stdout + started.stderr).splitlines()[-25:]:
            print_message(f"  {text}")
        raise lost(record, "the guest did not start")


def _monitor(home: Path) -> Path | None:
    """Return where QEMU's monitor listens; none when the path is too long for a socket."""
    path = home / "monitor"
    return path if len(str(path)) < SOCKET_PATH else None


def _require_monitor(home: Path) -> None:
    """Refuse a lab whose monitor cannot listen: through it, devices are plugged in."""
    if _monitor(home) is None:
        raise LabError(
            f"the path {home}/monitor is too long for a socket",
            "give the lab a shorter name, or the cache a shorter path (XDG_CACHE_HOME)",
            exit_code=EXIT_USAGE,
        )


def down(name: str) -> bool:
    """End a lab; return whether there was one. Its directory goes too."""
    record = load(name)
    if record is not None:
        record.kill()
    shutil.rmtree(directory(name), ignore_errors=True)
    return record is not None
