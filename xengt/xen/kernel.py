"""What Linux tells of itself, and of the Xen it runs on, through /proc and /sys."""

import os
from pathlib import Path
from typing import Literal, cast

Dom0 = Literal["PV", "PVH", "HVM"]
Clock = Literal["time", "instructions"]

ROOT = Path("/")
#: XENFEAT_gnttab_bus_addr of Xen's public/features.h
FEATURE_BUS_ADDRESSES = 21


def first_line(path: str, root: Path = ROOT) -> str | None:
    """Read the first line of a file of /proc or /sys; None when it cannot be read.

    Args:
        path: relative to `root`.
        root: where /proc and /sys are.
    """
    try:
        with (root / path).open(encoding="utf-8", errors="replace") as file:
            return file.readline().strip()
    except OSError:
        return None


def is_control_domain(root: Path = ROOT) -> bool:
    """Tell whether Linux is the control domain (/proc/xen/capabilities)."""
    return "control_d" in (first_line("proc/xen/capabilities", root) or "")


def dom0_kind(root: Path = ROOT) -> Dom0 | None:
    """Tell how Linux runs on Xen (/sys/hypervisor/guest_type); None when it does not say."""
    kind = first_line("sys/hypervisor/guest_type", root)
    return cast("Dom0", kind) if kind in {"PV", "PVH", "HVM"} else None


def online_vcpus() -> int:
    """Count the CPUs that Linux has online: in dom0, its vCPUs."""
    return os.cpu_count() or 1


def cpu_model(root: Path = ROOT) -> str:
    """Read the CPU's name from /proc/cpuinfo."""
    try:
        lines = (root / "proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "unknown")


def has_bus_addresses(root: Path = ROOT) -> bool:
    """Tell whether grant mappings by this domain have bus addresses of their own.

    Xen says so (`XENFEAT_gnttab_bus_addr`, of the series in patches/), and Linux shows all that it
    said (/sys/hypervisor/properties/features) whether or not it knows what that is.
    """
    words = first_line("sys/hypervisor/properties/features", root) or "0"
    return bool(int(words, 16) >> FEATURE_BUS_ADDRESSES & 1)


def is_emulated(cpu: str) -> bool:
    """Tell by its name a CPU that is software: QEMU's."""
    return "QEMU" in cpu


def clock(root: Path = ROOT) -> Clock:
    """Tell what a nanosecond of this machine's clock is.

    In an emulator whose clock counts instructions it is one instruction. Nothing inside the machine
    shows that, so the lab adds `xengt.clock=instructions` to Linux's command line.
    """
    words = (first_line("proc/cmdline", root) or "").split()
    return "instructions" if "xengt.clock=instructions" in words else "time"


def clocksource(root: Path = ROOT) -> str:
    """Tell what Linux reads the time from; "tsc" is the one without a detour."""
    path = "sys/devices/system/clocksource/clocksource0/current_clocksource"
    return first_line(path, root) or "unknown"
