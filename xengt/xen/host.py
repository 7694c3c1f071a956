"""Facts about the host that a measurement depends on."""

import platform
import re
from collections.abc import Iterator
from typing import Literal, NotRequired, TypedDict, cast

from xengt.documents.shape import Positive
from xengt.errors import UnmetError
from xengt.xen import maptrack
from xengt.xen.kernel import (
    Clock,
    Dom0,
    clock,
    cpu_model,
    dom0_kind,
    first_line,
    has_bus_addresses,
    is_emulated,
    online_vcpus,
)
from xengt.xen.maptrack import Maptrack
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import BindingError, MissingLibraryError, XenLibraryError
from xenlib_cffi.hypfs import HypFs

Iommu = Literal["none", "relaxed", "strict", "passthrough", "unknown"]

_BANNER = re.compile(r"^\(XEN\) (?:\[[^]]*\] *)?Xen version .* debug=([yn])", re.MULTILINE)
_DOM0_MODE = re.compile(r"- Dom0 mode: (Passthrough|Strict|Relaxed)")
_YES = {"1", "true", "yes", "on", "enable"}


class Host(TypedDict):
    """What a measurement depends on that is not in the plan."""

    xen_version: str
    xen_build_id: str | None
    xen_commandline: str
    xen_debug: bool
    kernel: str
    dom0: Literal["PV", "PVH", "HVM"]
    dom0_vcpus: Positive
    pcpus: Positive
    cpu: str
    emulated: bool
    iommu: Literal["none", "relaxed", "strict", "passthrough", "unknown"]
    bus_addresses: NotRequired[bool]
    clock: NotRequired[Clock]  # "time" in runs that do not tell
    boot_id: str
    maptrack: NotRequired[Maptrack]  # runs of before fast entries do not tell


def gather_host() -> Host:
    """Gather the facts of the running host, as a bench document tells them.

    Stands on `xc_version`, `xc_physinfo` and `xc_readconsolering` of xenctrl.h,
    `xenhypfs_readdir`, /sys/hypervisor and /proc.

    Raises:
        UnmetError: this is no Xen dom0, or this user may not ask Xen.
    """
    try:
        with Ctrl() as ctrl:
            version = ctrl.version()
            machine = ctrl.physinfo()
            console = ctrl.console()
    except MissingLibraryError as missing:
        raise UnmetError(str(missing), missing.remedy) from missing
    except XenLibraryError as refused:
        raise UnmetError(
            f"Xen does not tell about the host: {refused}",
            "Run this as root in a Xen dom0; `xengt check` says what is missing.",
        ) from refused
    kind = dom0_kind()
    cpu = cpu_model()
    return {
        "xen_version": str(version),
        "xen_build_id": version.build_id or None,
        "xen_commandline": version.commandline,
        "xen_debug": bool(is_debug(console)),
        "kernel": platform.release(),
        "dom0": kind or "PV",
        "dom0_vcpus": online_vcpus(),
        "pcpus": machine.cpus,
        "cpu": cpu,
        "emulated": is_emulated(cpu),
        "iommu": iommu_mode(machine.directio, kind, version.commandline, console),
        "bus_addresses": has_bus_addresses(),
        "clock": clock(),
        "boot_id": first_line("proc/sys/kernel/random/boot_id") or "",
        "maptrack": maptrack.running(version.commandline),
    }


def is_debug(console: str) -> bool | None:
    """Tell whether Xen is a debug build; None when nothing says so.

    Its banner says so, but the console ring keeps it for a while only; after
    that, the configuration in hypfs.

    Args:
        console: what the console ring holds.
    """
    banner = _BANNER.search(console)
    if banner is not None:
        return banner[1] == "y"
    try:
        with HypFs() as hypfs:
            return "\nCONFIG_DEBUG=y\n" in f"\n{hypfs.read('/buildinfo/config')}\n"
    except BindingError:
        return None


def iommu_mode(directio: bool, kind: Dom0 | None, commandline: str, console: str) -> Iommu:
    """Tell how Xen uses the IOMMU for dom0, on which the path of a grant map depends.

    Args:
        directio: `XEN_SYSCTL_PHYSCAP_directio`: an IOMMU is in use.
        kind: how dom0 runs; one that is translated is strict, whatever was asked.
        commandline: Xen's.
        console: what the console ring holds; what Xen said when it booted goes
            before what it was asked for.
    """
    if not directio:
        return "none"
    if kind in {"PVH", "HVM"}:
        return "strict"
    said = _DOM0_MODE.search(console)
    if said is not None:
        return cast("Iommu", said[1].lower())
    asked = dict(_iommu_options(commandline))
    if asked.get("strict"):
        return "strict"
    if asked.get("passthrough"):
        return "passthrough"
    return "relaxed" if kind == "PV" else "unknown"


def _iommu_options(commandline: str) -> Iterator[tuple[str, bool]]:
    """Read `dom0-iommu=` and the older `iommu=dom0-...` of Xen's command line, in order."""
    for word in commandline.split():
        option, _, values = word.partition("=")
        if option not in {"dom0-iommu", "iommu"}:
            continue
        for value in values.split(","):
            name, _, setting = value.partition("=")
            if option == "dom0-iommu" or "dom0-" in name:
                positive = not name.startswith("no-") and (not setting or setting in _YES)
                yield name.removeprefix("no-").removeprefix("dom0-"), positive
