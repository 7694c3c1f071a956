"""The virtual machine: QEMU's command line, and QEMU as a child process."""

import gzip
import shutil
import socket
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from lablib.errors import EXIT_USAGE, LabError

PROGRAM = "qemu-system-x86_64"
XEN_OPTIONS = "bootscrub=0 com1=115200,8n1 console=com1"
# rodata=off: write-protecting and checking the text of a PV kernel takes a second of emulation.
# clocksource: Linux falls back to the `xen` clock if its watchdog marks the TSC unstable. On
# emulated vCPUs that clock drifts between vCPUs and then stops for longer than a grant operation.
LINUX_OPTIONS = (
    "console=hvc0 clocksource=tsc tsc=reliable net.ifnames=0"
    " rodata=off loglevel=5 TERM=dumb systemd.tty.term.console=dumb systemd.show_status=yes"
    " systemd.condition-needs-update=no"
)


SNAPSHOT = "up"
"""The name of the snapshot inside the overlays of a saved lab."""

XEN_TEXT = "0xffff82d040000000+0x40000000"
"""Start and length of Xen's code and data: XEN_VIRT_START of Xen's asm/config.h."""


IOMMUS = {
    # 48 bits as on servers: above the CPU's physical addresses there is room for a separate bus
    # address per mapping (gnttab=bus-region).
    "strict": "intel-iommu,intremap=on,caching-mode=off,aw-bits=48",
    "strict-amd": "amd-iommu,intremap=on",
}
"""QEMU's IOMMU device by the value of --iommu: VT-d and AMD-Vi."""

DOM0_KINDS = ("pv", "pvh")
"""The values of --dom0: how Xen builds dom0."""

PVH_IOMMU = "strict-amd"
"""The IOMMU of a machine with a PVH dom0, which needs one. QEMU emulates AMD's SVM, and no machine
with SVM has VT-d, whose page tables Xen would share with those of SVM."""

HOTPLUG_COMMANDS = (
    # QEMU's educational device (docs/specs/edu): it reads and writes any bus address on request.
    "device_add edu,bus=port1,dma_mask=0xffffffffffffffff",
    # A second copy of the image, whose content is not used: an NVMe disk for guests.
    "drive_add 0 id=data,if=none,file=disk.img,format=raw,snapshot=on",
    "device_add nvme,bus=port2,drive=data,serial=data",
)
"""Monitor commands that plug in the devices behind an IOMMU once dom0 runs: QEMU 7.2 cannot save a
machine that has one of these devices."""


@dataclass(frozen=True)
class Machine:
    """A virtual machine with the software that it boots.

    Attributes:
        xen: the hypervisor's image.
        exact: one vCPU and the instruction clock: 1 ns of guest time per executed instruction.
        threads: host threads of a machine that is not exact: `single`, one thread runs both vCPUs
            alternately; `multi`, one thread per vCPU, which needs two idle CPUs.
        iommu: a key of IOMMUS: an IOMMU with dom0 in strict mode, and three PCIe ports: two for
            the devices of HOTPLUG_COMMANDS, and an empty one.
        dom0: one of DOM0_KINDS; `pvh` needs PVH_IOMMU.
        kernel: directory with dom0's `vmlinuz` and `initramfs`, relative to the image's directory;
            the default is the image's own.
        guest_disk: attach the disk a second time, for a guest.
        overlays: directory with a qcow2 overlay per disk for writes; None discards writes.
        resume: start from the snapshot in the overlays.
        memory: of the machine, in MiB.
        dom0_memory: of dom0, in MiB.
        xen_args: options to append to Xen's command line.
        monitor: path of the Unix socket of QEMU's monitor, which can log executed instructions.
        persistent_disk: the disk has a partition for dom0, and writes to it persist. Such a
            machine also has only one vCPU, because it then boots faster.
        grub: start the boot loader of that disk, which has the hypervisor and its command line. A
            reset ends QEMU; the caller starts QEMU again, which appends to the console log.
    """

    xen: Path
    exact: bool = False
    threads: str = "single"
    iommu: str | None = None
    dom0: str = "pv"
    kernel: Path = Path()
    guest_disk: bool = False
    overlays: Path | None = None
    resume: bool = False
    memory: int = 2048
    dom0_memory: int = 768
    xen_args: str = ""
    monitor: Path | None = None
    persistent_disk: bool = False
    grub: bool = False

    def xen_command_line(self) -> str:
        """Return Xen's command line."""
        words = [XEN_OPTIONS, f"dom0_mem={self.dom0_memory}M,max:{self.dom0_memory}M"]
        if self.iommu:
            words.append("iommu=on dom0-iommu=strict")
        if self.dom0 == "pvh":
            words.append("dom0=pvh")
        return " ".join([*words, self.xen_args]).strip()

    def disks(self) -> tuple[str, ...]:
        """Return the names of the attached disks; each is the image."""
        return ("dom0", "guest") if self.guest_disk else ("dom0",)

    def identity(self) -> list[str]:
        """Return QEMU's command line without the parts that are specific to one lab."""
        same = replace(self, xen=Path(), kernel=Path(), overlays=Path(), monitor=Path())
        return replace(same, resume=False).command(0, "", Path())

    def command(self, port: int, key: str, console: Path) -> list[str]:
        """Return QEMU's command line; its working directory must be the image's directory.

        Args:
            port: TCP port on 127.0.0.1 that is forwarded to dom0's ssh.
            key: base64 of the public ed25519 key that may log in.
            console: the log file of the serial console.
        """
        # smap=off: with SMAP, dom0 crashes early under software emulation. rdtscp=off: an HVM guest
        # loops on the intercept of RDTSCP. xsave=off: when Xen switches between domains, QEMU 7.2
        # sometimes restores the vector registers of the wrong domain; FXSAVE works.
        words = [PROGRAM, "-cpu", "max,smap=off,rdtscp=off,xsave=off"]
        words += ["-m", str(self.memory), "-no-reboot"]
        words += ["-nodefaults", "-no-user-config", "-display", "none", "-vga", "none"]
        words += ["-chardev", f"file,id=console,path={console},append=on"]
        words += ["-serial", "chardev:console"]
        if self.monitor is not None:
            words += ["-monitor", f"unix:{self.monitor},server=on,wait=off"]
            words += ["-dfilter", XEN_TEXT]  # log no instructions of dom0
        if self.exact:
            words += ["-accel", "tcg", "-smp", "1", "-icount", "shift=0,sleep=off"]
        else:
            # One host thread for both vCPUs by default: with one thread each, the vCPUs wait for
            # each other, and load on the host slows them down by orders of magnitude.
            vcpus = "1" if self.persistent_disk else "2"
            words += ["-accel", f"tcg,thread={self.threads}", "-smp", vcpus]
        if self.iommu:
            words += ["-M", "q35,kernel-irqchip=split", "-device", IOMMUS[self.iommu]]
            for slot in (1, 2, 3):
                words += ["-device", f"pcie-root-port,id=port{slot},chassis={slot},slot={slot}"]
        else:
            words += ["-M", "q35"]
        words += ["-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"]
        # Without these options a virtio device bypasses the IOMMU.
        behind = ",disable-legacy=on,iommu_platform=on" if self.iommu else ""
        words += ["-device", f"virtio-net-pci,netdev=net,romfile={behind}"]
        # No write has to reach the host's disk: a lab does not survive a power failure of the host.
        writes = "snapshot=off,cache=unsafe" if self.persistent_disk else "snapshot=on"
        for disk in self.disks():
            file = f"file=disk.img,format=raw,{writes}"
            if self.overlays is not None:
                file = f"file={self.overlays / disk}.qcow2,format=qcow2,cache=unsafe"
            words += ["-drive", f"id={disk},if=none,{file}"]
            words += ["-device", f"virtio-blk-pci,drive={disk}{behind}"]
        if self.grub:
            return words
        root = "/dev/vda1" if self.persistent_disk else "/dev/vda"
        words += ["-kernel", str(self.xen), "-append", self.xen_command_line()]
        linux = LINUX_OPTIONS + (" xengt.clock=instructions" if self.exact else "")
        vmlinuz, archive = self.kernel / "vmlinuz", self.kernel / "initramfs"
        words += ["-initrd", f"{vmlinuz} root={root} {linux} xengt.key={key},{archive}"]
        return [*words, "-loadvm", SNAPSHOT] if self.resume else words


def prepare_image(xen: Path, directory: Path) -> Path:
    """Return the absolute path of an uncompressed hypervisor image, as QEMU needs it.

    Args:
        xen: an image: `xen` of a build, or Debian's /boot/xen-*.gz.
        directory: where a compressed image is uncompressed, as `xen`.

    Raises:
        LabError: the file cannot be read.
    """
    try:
        head = xen.open("rb").read(2)
    except OSError as error:
        what = f"the hypervisor {xen} cannot be read: {error.strerror}"
        remedy = "specify the path of a Xen image with --xen FILE"
        raise LabError(what, remedy, exit_code=EXIT_USAGE) from error
    if head != b"\x1f\x8b":
        return xen.resolve()
    target = directory / "xen"
    with gzip.open(xen) as packed, target.open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    return target


def version() -> str:
    """Return the version of QEMU and of its Debian package, as `qemu-system-x86_64 --version`.

    Raises:
        LabError: QEMU is not installed.
    """
    try:
        return subprocess.check_output([PROGRAM, "--version"], text=True).splitlines()[0]
    except FileNotFoundError as error:
        raise LabError(f"{PROGRAM} is not installed", "apt install qemu-system-x86") from error


def free_port() -> int:
    """Return a TCP port on 127.0.0.1 that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(command: list[str], cwd: Path, log: Path, *, detached: bool) -> subprocess.Popen[bytes]:
    """Start QEMU.

    Args:
        command: from `Machine.command`.
        cwd: the image's directory.
        log: the file for QEMU's stdout and stderr.
        detached: QEMU outlives this process; otherwise the kernel kills it when this process ends.
    """
    prefix = [] if detached else ["setpriv", "--pdeathsig", "KILL"]
    with log.open("wb") as out:
        return subprocess.Popen(
            [*prefix, *command],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
