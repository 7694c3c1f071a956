"""Start and stop labs: build what they need, and resume or boot them."""

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
from lablib.boot import POLL, error_with_console, limitation, wait_for_dom0
from lablib.cache import Cache
from lablib.errors import EXIT_USAGE, LabError, tail
from lablib.monitor import Monitor
from lablib.output import print_message, step
from lablib.record import Record, directory, load, process_start, running_labs
from lablib.snapshot import Snapshot

RESUME_TIMEOUT = 300.0
"""Seconds until a resumed dom0 must accept an ssh connection."""
UPGRADE = "cat > /run/xengt.deb && dpkg --install /run/xengt.deb && rm /run/xengt.deb"
"""Installs the package on stdin; its service remains disabled as in the image."""
DEVICE_TIMEOUT = 60
"""Seconds until dom0 must have found the devices of `qemu.HOTPLUG_COMMANDS`."""
WAIT_FOR_DEVICES = (
    f"cd /sys/bus/pci/devices && for _ in $(seq {10 * DEVICE_TIMEOUT}); do "
    "test -e 0000:01:00.0 && test -e 0000:02:00.0 && exit; sleep 0.1; done; exit 1"
)
"""Waits for these devices, each of which is alone on the bus of its port."""


@dataclass(frozen=True)
class Options:
    """The options of a lab.

    Attributes:
        hypervisor: one of `hypervisor.VARIANTS`.
        patches: number of patches of a patched variant; None: all.
        xen: a hypervisor image to boot instead of a variant.
        xen_source: source directory or tarball to build the hypervisor from; None: Debian's source.
        exact: see `qemu.Machine`.
        threads: see `qemu.Machine`.
        iommu: see `qemu.Machine`.
        dom0: one of `qemu.DOM0_KINDS`.
        kernel: dom0's kernel, one of `kernel.KERNELS`.
        linux_source: source directory or tarball to build the kernel from; None: Debian's source.
        guest: start a guest that grants pages to dom0.
        guest_pages: number of pages that the guest grants.
        xen_args: options to append to Xen's command line.
        boot: boot even if there is a snapshot, and save none.
        boot_timeout: seconds until dom0 must be ready.
    """

    hypervisor: str = "stock"
    patches: int | None = None
    xen: Path | None = None
    xen_source: Path | None = None
    exact: bool = False
    threads: str = "single"
    iommu: str | None = None
    dom0: str = "pv"
    kernel: str = "debian"
    linux_source: Path | None = None
    guest: bool = False
    guest_pages: int = 256
    xen_args: str = ""
    boot: bool = False
    boot_timeout: float = 1200.0


def build(cache: Cache, options: Options) -> tuple[Path, Path]:
    """Return the directory of the image and the path of the hypervisor; build what is missing.

    Raises:
        LabError: a download or a build failed.
    """
    jobs = os.cpu_count() or 1
    with ThreadPoolExecutor() as pool:
        # In parallel, as each of these waits for downloads as well as for the CPU.
        root = pool.submit(dom0_root, cache)
        deb = pool.submit(package.build, cache, jobs)
        xen = pool.submit(lambda: options.xen or _build_hypervisor(cache, options, jobs))
        if options.kernel == "patched":
            kernel.build(cache, jobs, local=options.linux_source)
        root.result()
        return image.build(cache, deb.result()), xen.result()


def _build_hypervisor(cache: Cache, options: Options, jobs: int) -> Path:
    arguments = (options.hypervisor, jobs, options.patches, options.xen_source)
    return hypervisor.build(cache, *arguments) / "xen"


def up(name: str, options: Options, *, detached: bool) -> Record:
    """Start a lab and return when dom0 is ready.

    The lab is resumed from a snapshot of the same lab; without one, it is booted and saved.

    Args:
        name: its name, which no running lab has.
        options: the lab to start.
        detached: the lab outlives this process.

    Raises:
        LabError: a running lab has this name, or the start failed; the console log is kept.
    """
    home = make_directory(name)
    try:
        if options.iommu:
            _require_monitor(home)
        if options.xen is not None:
            options = replace(options, xen=qemu.prepare_image(options.xen, home))
        cache = Cache(places.cache_root())
        disk, xen = build(cache, options)
        files = Path() if options.kernel == "debian" else _boot_files(cache, home, options)
        start = Start(name, disk, machine(home, xen, files, options), options, detached=detached)
        saved = None if options.boot else start.snapshot(cache)
        record = (saved and _resume(start, saved)) or _boot(start, saved)
        if options.iommu:
            _plug_in_devices(record)
        _install(record, disk, package.build(cache, os.cpu_count() or 1))
        if missing := limitation(record):
            print_message(missing)
    except BaseException:
        down(name)
        raise
    return record


@dataclass(frozen=True)
class Start:
    """A lab to start.

    Attributes:
        name: of the lab.
        disk: the image's directory.
        machine: its virtual machine.
        options: its options.
        detached: it outlives this process.
    """

    name: str
    disk: Path
    machine: qemu.Machine
    options: Options
    detached: bool

    def snapshot(self, cache: Cache) -> Snapshot | None:
        """Return the snapshot of this lab, which may not exist yet; None if it cannot be saved."""
        started = f"guest {self.options.guest_pages}" if self.options.guest else "dom0"
        return snapshot.snapshot_for(cache, self.machine, self.disk, started)


def _resume(start: Start, saved: Snapshot) -> Record | None:
    """Resume a lab; return None if there is no snapshot or it cannot be resumed."""
    home = directory(start.name)
    if not saved.copy_to(home):
        return None
    resumed = replace(start, machine=replace(start.machine, overlays=home, resume=True))
    with step("resuming the lab"):
        record = _launch(resumed)
        key = _keygen(home / "new-key")
        if _update_identity(record, key):
            (home / "new-key").rename(home / "key")
            (home / "new-key.pub").rename(home / "key.pub")
            return record
    print_message("the snapshot cannot be resumed: it is removed, and the lab boots")
    record.kill()
    saved.drop(home)
    return None


def _update_identity(record: Record, key: str) -> bool:
    """Replace ssh key, date and random seed of a resumed dom0; return whether that succeeded.

    Args:
        record: the lab; its ssh key is that of the snapshot.
        key: base64 of the public ed25519 key that may log in afterwards.
    """
    facts = f"{key}\n{time.time():.0f}\n{os.urandom(64).hex()}\n"
    command = [*remote.ssh(record), "/usr/lib/xengt-lab/resumed"]
    deadline = time.monotonic() + RESUME_TIMEOUT
    while record.alive() and time.monotonic() < deadline:
        done = subprocess.run(command, check=False, input=facts, text=True, capture_output=True)
        if done.returncode != remote.SSH_FAILED:
            break
        time.sleep(POLL)  # QEMU does not listen yet
    else:
        output = (record.directory / "qemu.log").read_text(errors="replace").strip()
        print_message(f"  QEMU: {output}" if output else "  dom0 does not respond to ssh")
        return False
    for text in (done.stdout + done.stderr).splitlines():
        print_message(f"  {text}")
    return done.returncode == 0


def _boot(start: Start, saved: Snapshot | None) -> Record:
    """Boot a lab; save it unless `saved` is None."""
    home = directory(start.name)
    key = _keygen(home / "key")
    if saved is not None:
        snapshot.make_overlays(home, start.machine, start.disk)
        start = replace(start, machine=replace(start.machine, overlays=home))
    record = _launch(start, key)
    with step("booting Xen and dom0"):
        wait_for_dom0(record, start.options.boot_timeout)
        remote.connect(record)
    if start.options.guest:
        require_toolstack(record)
        with step("starting the guest"):
            _start_guest(record, start.options)
    if saved is not None:
        remote.close_connection(record)  # a connection in the snapshot would never be closed
        saved.save(home)
        remote.connect(record)
    return record


def _plug_in_devices(record: Record) -> None:
    """Plug in the devices behind an IOMMU and wait until dom0 has found them."""
    with Monitor(record.directory / "monitor") as monitor:
        for command in qemu.HOTPLUG_COMMANDS:
            output = monitor.do(command)
            if output not in {"", "OK"}:
                message = f"QEMU's monitor command {command!r} failed: {output}"
                raise error_with_console(record, message)
    wait = [*remote.ssh(record), WAIT_FOR_DEVICES]
    if subprocess.run(wait, check=False, stdin=subprocess.DEVNULL).returncode:
        message = f"dom0 did not find the hot-plugged PCI devices within {DEVICE_TIMEOUT} s"
        raise error_with_console(record, message)


def _install(record: Record, disk: Path, deb: Path) -> None:
    """Install xengt's current package in dom0 unless the image has the same package."""
    if (disk / "package").read_text() == deb.parent.name:
        return
    log = record.directory / "package.log"
    with step("installing xengt's current package"), deb.open("rb") as file, log.open("wb") as out:
        command = [*remote.ssh(record), UPGRADE]
        done = subprocess.run(command, check=False, stdin=file, stdout=out, stderr=out)
    if done.returncode:
        message = f"xengt's package cannot be installed in dom0: {' '.join(tail(log, 1))}"
        raise error_with_console(record, message)


def _boot_files(cache: Cache, home: Path, options: Options) -> Path:
    """Copy the patched kernel's `vmlinuz` and `initramfs` to a lab's directory; return it."""
    built = kernel.build(cache, os.cpu_count() or 1, local=options.linux_source)
    modules = next((built / "modules").iterdir())
    script = places.LAB / "dom0/initramfs-init"
    (home / "vmlinuz").write_bytes((built / "vmlinuz").read_bytes())
    (home / "initramfs").write_bytes(initramfs.build_for(modules, dom0_root(cache), script))
    return home


def make_directory(name: str) -> Path:
    """Make an empty directory for a new lab; return its path.

    Raises:
        LabError: a running lab has this name.
    """
    if load(name) is not None:
        raise LabError(
            f"a lab named {name} is already running",
            f"stop it with `lab down --name {name}`, or choose another --name",
            exit_code=EXIT_USAGE,
        )
    running_labs()  # removes the directories of killed labs
    home = directory(name)
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True, mode=0o700)
    return home


def _keygen(file: Path) -> str:
    """Make an ssh key pair; return the base64 of the public key."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(file)]
    subprocess.run(command, check=True)
    return file.with_name(f"{file.name}.pub").read_text().split()[1]


def machine(home: Path, xen: Path, kernel: Path, options: Options) -> qemu.Machine:
    """Return the virtual machine of a lab.

    Args:
        home: the lab's directory.
        xen: the hypervisor's image.
        kernel: see `qemu.Machine`.
        options: of the lab.
    """
    return qemu.Machine(
        xen=xen,
        exact=options.exact,
        threads=options.threads,
        iommu=options.iommu or (qemu.PVH_IOMMU if options.dom0 == "pvh" else None),
        dom0=options.dom0,
        kernel=kernel,
        guest_disk=options.guest,
        xen_args=options.xen_args,
        monitor=_monitor(home),
    )


def _launch(start: Start, key: str = "") -> Record:
    """Start QEMU and write the lab's record.

    Args:
        start: the lab.
        key: base64 of the public ed25519 key that may log in; unused by a resumed dom0.
    """
    home, options = directory(start.name), start.options
    port = qemu.free_port()
    command = start.machine.command(port, key, home / "console.log")
    process = qemu.start(command, start.disk, home / "qemu.log", detached=start.detached)
    record = Record(
        name=start.name,
        pid=process.pid,
        born=process_start(process.pid) or 0,
        port=port,
        hypervisor=str(start.machine.xen if _is_special(options) else options.hypervisor),
        exact=options.exact,
        iommu=options.iommu,
        guest=options.guest,
        kernel=options.kernel,
        dom0=options.dom0,
    )
    record.save()
    return record


def _is_special(options: Options) -> bool:
    """Return whether the name of the variant does not identify the hypervisor."""
    return bool(options.xen or options.patches or options.xen_source)


def require_toolstack(record: Record) -> None:
    """Raise an error if dom0 has no toolstack for the running hypervisor.

    Raises:
        LabError: it has none.
    """
    if missing := limitation(record):
        raise LabError(
            f"the guest of --guest cannot be started: {missing}",
            "remove --guest, and measure with `xengt bench --granter self`",
            exit_code=EXIT_USAGE,
        )


def _start_guest(record: Record, options: Options) -> None:
    command = [*remote.ssh(record), f"/usr/lib/xengt-lab/guest {options.guest_pages}"]
    started = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if started.returncode != 0:
        for text in (started.stdout + started.stderr).splitlines()[-25:]:
            print_message(f"  {text}")
        raise error_with_console(record, "the lab's guest did not start")


def _monitor(home: Path) -> Path | None:
    """Return the socket path of QEMU's monitor; None if it is too long for a socket."""
    path = home / "monitor"
    return path if len(str(path)) < remote.SUN_PATH else None


def _require_monitor(home: Path) -> None:
    """Raise an error if the lab has no monitor, which plugs in devices.

    Raises:
        LabError: the path of the monitor's socket is too long.
    """
    if _monitor(home) is None:
        raise LabError(
            f"the path {home}/monitor is too long for a Unix socket",
            "use a shorter --name, or a shorter cache path (XDG_CACHE_HOME)",
            exit_code=EXIT_USAGE,
        )


def down(name: str) -> bool:
    """Stop a lab and remove its directory; return whether it was running."""
    record = load(name)
    if record is not None:
        record.kill()
    shutil.rmtree(directory(name), ignore_errors=True)
    return record is not None
