"""The virtual machine: QEMU's command line, and QEMU as a child process."""

import gzip
import shutil
import socket
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from lablib.errors import EXIT_USAGE, LabError

PROGRAM = "qemu-system-x86_64"
XEN = "bootscrub=0 com1=115200,8n1 console=com1"
# rodata=off: protecting and checking a PV kernel's own text takes a second of emulation.
# clocksource: on emulated vCPUs the `xen` clock, to which Linux falls back when its watchdog
# dislikes the TSC, drifts between them and then stands still for longer than a grant operation.
LINUX = (
    "console=hvc0 clocksource=tsc tsc=reliable net.ifnames=0"
    " rodata=off loglevel=5 TERM=dumb systemd.tty.term.console=dumb systemd.show_status=yes"
    " systemd.condition-needs-update=no"
)


SNAPSHOT = "up"
"""The name of the snapshot inside the overlays of a saved lab."""

XEN_TEXT = "0xffff82d040000000+0x40000000"
"""Where Xen's own code and data are, XEN_VIRT_START of its asm/config.h: start and length."""


IOMMUS = {
    # As wide as a server's: beyond what the CPU can address, mappings have room for bus addresses
    # of their own (gnttab=bus-region).
    "strict": "intel-iommu,intremap=on,caching-mode=off,aw-bits=48",
    "strict-amd": "amd-iommu,intremap=on",
}
"""VT-d and AMD-Vi, by the lab's option."""

PLUGGED = (
    # A device whose driver can have it read and write any bus address.
    "device_add edu,bus=port1,dma_mask=0xffffffffffffffff",
    # The image once more, of which nobody uses what is on it: for data of guests.
    "drive_add 0 id=data,if=none,file=disk.img,format=raw,snapshot=on",
    "device_add nvme,bus=port2,drive=data,serial=data",
)
"""What plugs in the devices behind an IOMMU: QEMU's monitor takes it once dom0 runs, since QEMU 7.2
can save a machine with neither of them."""


@dataclass(frozen=True)
class Machine:
    """What to boot, and on what.

    Attributes:
        xen: the hypervisor's image.
        exact: one vCPU and the instruction clock: 1 ns of guest time is 1 instruction.
        threads: of the host, for the two vCPUs of a machine that is not exact: `single`, one
            for both by turns; `multi`, one each: truly at once, where the host has two CPUs free.
        iommu: one of IOMMUS: give the machine that and dom0 strict mode, and two ports for
            `PLUGGED`: an NVMe disk, and a device to try it with (QEMU's docs/specs/edu).
        kernel: directory with the `vmlinuz` and `initramfs` that dom0 boots from; the image's own
            when nothing is said.
        guest_disk: attach the disk a second time, for a guest.
        overlays: the directory with a qcow2 overlay for each disk, which takes what is written;
            None discards it.
        resumes: start in the state that the overlays have a snapshot of.
        memory: MiB of the machine.
        dom0_memory: MiB of dom0.
        xen_args: further words for Xen's command line.
        monitor: where to listen for QEMU's monitor, which can log what the hypervisor executes.
        installed: the disk has a partition for dom0, and what is written to it stays. One vCPU:
            it boots faster.
        grub: start the boot loader of that disk, which knows the hypervisor and the words for it.
            A reset ends QEMU, as ever: who started it starts it again, and the console goes on.
    """

    xen: Path
    exact: bool = False
    threads: str = "single"
    iommu: str | None = None
    kernel: Path = Path()
    guest_disk: bool = False
    overlays: Path | None = None
    resumes: bool = False
    memory: int = 2048
    dom0_memory: int = 768
    xen_args: str = ""
    monitor: Path | None = None
    installed: bool = False
    grub: bool = False

    def xen_line(self) -> str:
        """Return Xen's command line."""
        words = [XEN, f"dom0_mem={self.dom0_memory}M,max:{self.dom0_memory}M"]
        if self.iommu:
            words.append("iommu=on dom0-iommu=strict")
        return " ".join([*words, self.xen_args]).strip()

    def disks(self) -> tuple[str, ...]:
        """Return the names of the disks that the image is attached as."""
        return ("dom0", "guest") if self.guest_disk else ("dom0",)

    def identity(self) -> list[str]:
        """Return QEMU's command line without what differs between two labs of the same machine."""
        same = replace(self, xen=Path(), kernel=Path(), overlays=Path(), monitor=Path())
        return replace(same, resumes=False).command(0, "", Path())

    def command(self, port: int, key: str, console: Path) -> list[str]:
        """Return QEMU's command line, to be run in the image's directory.

        Args:
            port: of 127.0.0.1, forwarded to dom0's ssh.
            key: the base64 of the ed25519 key that may log in.
            console: the file for the serial console.
        """
        # smap=off: dom0 dies early with SMAP under software emulation. rdtscp=off: an HVM guest
        # loops on its intercept. xsave=off: when Xen switches from a domain to another, QEMU 7.2
        # now and then gives back vector registers of the wrong one; FXSAVE is sound.
        words = [PROGRAM, "-cpu", "max,smap=off,rdtscp=off,xsave=off"]
        words += ["-m", str(self.memory), "-no-reboot"]
        words += ["-nodefaults", "-no-user-config", "-display", "none", "-vga", "none"]
        words += ["-chardev", f"file,id=console,path={console},append=on"]
        words += ["-serial", "chardev:console"]
        if self.monitor is not None:
            words += ["-monitor", f"unix:{self.monitor},server=on,wait=off"]
            words += ["-dfilter", XEN_TEXT]  # of what it may log: none of dom0's instructions
        if self.exact:
            words += ["-accel", "tcg", "-smp", "1", "-icount", "shift=0,sleep=off"]
        else:
            # By default one host thread for both vCPUs: with a thread each they wait for one
            # another, and any other load on the host makes them crawl.
            vcpus = "1" if self.installed else "2"
            words += ["-accel", f"tcg,thread={self.threads}", "-smp", vcpus]
        if self.iommu:
            words += ["-M", "q35,kernel-irqchip=split", "-device", IOMMUS[self.iommu]]
            for slot in (1, 2):
                words += ["-device", f"pcie-root-port,id=port{slot},chassis={slot},slot={slot}"]
        else:
            words += ["-M", "q35"]
        words += ["-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"]
        # What is not told so accesses memory past an IOMMU.
        behind = ",disable-legacy=on,iommu_platform=on" if self.iommu else ""
        words += ["-device", f"virtio-net-pci,netdev=net,romfile={behind}"]
        # Nobody waits for the host's disk: this machine's power never goes, only its copy of it.
        writes = "snapshot=off,cache=unsafe" if self.installed else "snapshot=on"
        for disk in self.disks():
            file = f"file=disk.img,format=raw,{writes}"
            if self.overlays is not None:
                file = f"file={self.overlays / disk}.qcow2,format=qcow2,cache=unsafe"
            words += ["-drive", f"id={disk},if=none,{file}"]
            words += ["-device", f"virtio-blk-pci,drive={disk}{behind}"]
        if self.grub:
            return words
        root = "/dev/vda1" if self.installed else "/dev/vda"
        words += ["-kernel", str(self.xen), "-append", self.xen_line()]
        linux = f"{LINUX} xengt.clock=instructions" if self.exact else LINUX
        vmlinuz, archive = self.kernel / "vmlinuz", self.kernel / "initramfs"
        words += ["-initrd", f"{vmlinuz} root={root} {linux} xengt.key={key},{archive}"]
        return [*words, "-loadvm", SNAPSHOT] if self.resumes else words


def usable(xen: Path, directory: Path) -> Path:
    """Return a hypervisor image as QEMU takes it: there, absolute, and unpacked.

    Args:
        xen: `xen` of a build, or Debian's /boot/xen-*.gz.
        directory: where to unpack it.

    Raises:
        LabError: there is no such file.
    """
    try:
        head = xen.open("rb").read(2)
    except OSError as error:
        what = f"the hypervisor {xen} cannot be read: {error.strerror}"
        raise LabError(what, "give --xen the path of a Xen image", exit_code=EXIT_USAGE) from error
    if head != b"\x1f\x8b":
        return xen.resolve()
    target = directory / "xen"
    with gzip.open(xen) as packed, target.open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    return target


def version() -> str:
    """Return the version of QEMU, with that of its Debian package.

    Raises:
        LabError: QEMU is not installed.
    """
    try:
        return subprocess.check_output([PROGRAM, "--version"], text=True).splitlines()[0]
    except FileNotFoundError as error:
        raise LabError(f"{PROGRAM} is not installed", "apt install qemu-system-x86") from error


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(command: list[str], cwd: Path, log: Path, *, stays: bool) -> subprocess.Popen[bytes]:
    """Start QEMU.

    Args:
        command: from `Machine.command`.
        cwd: the image's directory.
        log: takes what QEMU itself says.
        stays: QEMU outlives this process; otherwise it dies with it, however that ends.
    """
    bound = [] if stays else ["setpriv", "--pdeathsig", "KILL"]
    with log.open("wb") as out:
        return subprocess.Popen(
            [*bound, *command],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
