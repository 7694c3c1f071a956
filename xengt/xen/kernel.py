"""What Linux reports in /proc and /sys about itself and about the Xen it runs on."""

import os
from pathlib import Path
from typing import Literal, cast

Dom0 = Literal["PV", "PVH", "HVM"]
Clock = Literal["time", "instructions"]

ROOT = Path("/")
#: XENFEAT_dom0 of Xen's public/features.h
_FEATURE_DOM0 = 11
#: XENFEAT_gnttab_bus_addr of the series in patches/
_FEATURE_BUS_ADDRESSES = 21
#: bit of CapEff in /proc/self/status
_CAP_SYS_ADMIN = 21


def below(root: Path, path: str | Path) -> Path:
    """Return an absolute path as a path below another root directory."""
    return root / str(path).lstrip("/")


def first_line(path: str, root: Path = ROOT) -> str | None:
    """Return the first line of a file of /proc or /sys; None if it cannot be read.

    Args:
        path: path relative to `root`.
        root: directory that contains `proc` and `sys`.
    """
    try:
        with (root / path).open(encoding="utf-8", errors="replace") as file:
            return file.readline().strip()
    except OSError:
        return None


def is_on_xen(root: Path = ROOT) -> bool:
    """Return whether Linux runs on Xen.

    A kernel without CONFIG_XEN_SYS_HYPERVISOR has no /sys/hypervisor, but on Xen every kernel
    has /proc/xen, to mount xenfs there.
    """
    return first_line("sys/hypervisor/type", root) == "xen" or (root / "proc/xen").is_dir()


def capabilities(root: Path = ROOT) -> str | None:
    """Return the capabilities of this domain; None if xenfs is not mounted on /proc/xen."""
    return first_line("proc/xen/capabilities", root)


def is_control_domain(root: Path = ROOT) -> bool:
    """Return whether this is the control domain.

    /proc/xen/capabilities tells; without xenfs, Xen's features do (XENFEAT_dom0).
    """
    words = capabilities(root)
    return _has_feature(_FEATURE_DOM0, root) if words is None else "control_d" in words


def dom0_kind(root: Path = ROOT) -> Dom0 | None:
    """Return the kind of domain Linux runs in (/sys/hypervisor/guest_type); None if unknown."""
    kind = first_line("sys/hypervisor/guest_type", root)
    return cast("Dom0", kind) if kind in {"PV", "PVH", "HVM"} else None


def is_translated(root: Path = ROOT) -> bool:
    """Return whether Xen translates this domain's addresses, which it does for PVH and HVM."""
    return dom0_kind(root) in {"PVH", "HVM"}


def sees_page_frames(root: Path = ROOT) -> bool:
    """Return whether /proc/self/pagemap has page frames, for which Linux requires CAP_SYS_ADMIN.

    Args:
        root: directory that contains `proc`.
    """
    try:
        status = below(root, "proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return False
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> _CAP_SYS_ADMIN & 1)


def online_vcpus() -> int:
    """Return the number of online CPUs: in dom0, its vCPUs."""
    return os.cpu_count() or 1


def cpu_model(root: Path = ROOT) -> str:
    """Return the model name of the CPU from /proc/cpuinfo."""
    return _cpu_fact("model name", root)


def cpu_vendor(root: Path = ROOT) -> str:
    """Return the CPUID vendor of the CPU from /proc/cpuinfo, such as "AuthenticAMD"."""
    return _cpu_fact("vendor_id", root)


def _cpu_fact(key: str, root: Path) -> str:
    try:
        lines = (root / "proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return "unknown"
    values = (line.partition(":")[2].strip() for line in lines if line.startswith(key))
    return next(values, "unknown")


def has_bus_address_bit(root: Path = ROOT) -> bool:
    """Return whether Xen sets the bit of `XENFEAT_gnttab_bus_addr`: see `bus_addresses`."""
    return _has_feature(_FEATURE_BUS_ADDRESSES, root)


def _has_feature(bit: int, root: Path) -> bool:
    """Return whether Xen sets a feature bit for this domain.

    Linux exports all bits (/sys/hypervisor/properties/features), including those it does not know.
    """
    words = first_line("sys/hypervisor/properties/features", root) or "0"
    return bool(int(words, 16) >> bit & 1)


def is_emulated(cpu: str) -> bool:
    """Return whether a CPU's model name is that of QEMU's emulated CPUs."""
    return "QEMU" in cpu


def clock(root: Path = ROOT) -> Clock:
    """Return what the machine's clock counts: time, or instructions in place of nanoseconds.

    The clock of an emulator can count instructions. A guest cannot detect that, so the lab adds
    `xengt.clock=instructions` to Linux's command line.
    """
    words = (first_line("proc/cmdline", root) or "").split()
    return "instructions" if "xengt.clock=instructions" in words else "time"


def clocksource(root: Path = ROOT) -> str:
    """Return Linux's clock source; "tsc" is the fastest to read."""
    path = "sys/devices/system/clocksource/clocksource0/current_clocksource"
    return first_line(path, root) or "unknown"
