"""The facts about the host that a measurement depends on."""

import platform
import re
from typing import Literal, NotRequired, TypedDict, cast

from xengt.documents.shape import Positive
from xengt.errors import UnmetError
from xengt.xen import command_line, maptrack
from xengt.xen.bus_addresses import has_bus_addresses
from xengt.xen.kernel import (
    Clock,
    Dom0,
    clock,
    cpu_model,
    dom0_kind,
    first_line,
    is_emulated,
    online_vcpus,
)
from xengt.xen.maptrack import Maptrack
from xengt.xen.unstable import unless_other_version
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import BindingError, MissingLibraryError, XenLibraryError
from xenlib_cffi.hypfs import HypFs

Iommu = Literal["none", "relaxed", "strict", "passthrough", "unknown"]

_BANNER = re.compile(r"^\(XEN\) (?:\[[^]]*\] *)?Xen version .* debug=([yn])", re.MULTILINE)
_MITIGATIONS = re.compile(r"^\(XEN\) .*Xen settings: (.*\S)", re.MULTILINE)
_DOM0_MODE = re.compile(r"- Dom0 mode: (Passthrough|Strict|Relaxed)")


class Host(TypedDict):
    """What a measurement depends on besides its plan; the `host` object of a bench document."""

    xen_version: str
    xen_build_id: str | None
    xen_commandline: str
    xen_debug: bool
    kernel: str
    dom0: Literal["PV", "PVH", "HVM"]
    dom0_vcpus: Positive
    pcpus: NotRequired[Positive]  # absent if libxenctrl has another version than Xen
    numa_nodes: NotRequired[Positive]  # likewise
    mitigations: NotRequired[str]  # absent if later messages have overwritten Xen's
    noise_ratio: NotRequired[float]  # only of a suite
    cpu: str
    emulated: bool
    iommu: Iommu
    bus_addresses: NotRequired[bool]
    clock: NotRequired[Clock]  # documents without it were measured in "time"
    boot_id: str
    maptrack: NotRequired[Maptrack]  # absent from documents older than fast entries


class _Optional(TypedDict, total=False):
    pcpus: Positive
    numa_nodes: Positive
    mitigations: str
    noise_ratio: float


def gather_host() -> Host:
    """Gather the facts of the running host in the form of the bench document.

    Uses `xc_version`, `xc_physinfo` and `xc_readconsolering` of xenctrl.h,
    `xenhypfs_readdir`, /sys/hypervisor and /proc.

    Raises:
        UnmetError: this is not a Xen dom0, or this user has no access to Xen.
    """
    try:
        with Ctrl() as ctrl:
            version = ctrl.version()
            machine = unless_other_version(ctrl.physinfo)
            console = unless_other_version(ctrl.console) or ""
    except MissingLibraryError as missing:
        raise UnmetError(str(missing), missing.remedy) from missing
    except XenLibraryError as refused:
        raise UnmetError(
            f"Xen does not report its version and the host's hardware: {refused}",
            "run xengt as root in a Xen dom0; `xengt check` reports what is missing",
        ) from refused
    kind = dom0_kind()
    cpu = cpu_model()
    optional: _Optional = {}
    if machine:
        optional |= {"pcpus": machine.cpus, "numa_nodes": machine.nodes}
    if mitigations := read_mitigations(console):
        optional["mitigations"] = mitigations
    iommu: Iommu = (
        iommu_mode(machine.directio, kind, version.commandline, console) if machine else "unknown"
    )
    return {
        **optional,
        "xen_version": str(version),
        "xen_build_id": version.build_id or None,
        "xen_commandline": version.commandline,
        "xen_debug": bool(is_debug(console)),
        "kernel": platform.release(),
        "dom0": kind or "PV",
        "dom0_vcpus": online_vcpus(),
        "cpu": cpu,
        "emulated": is_emulated(cpu),
        "iommu": iommu,
        "bus_addresses": has_bus_addresses(),
        "clock": clock(),
        "boot_id": first_line("proc/sys/kernel/random/boot_id") or "",
        "maptrack": maptrack.detect(version.commandline),
    }


def has_fast_mappings(host: Host) -> bool | None:
    """Return whether Xen has fast entries for mappings by dom0; None if that is unknown.

    Xen does not use them for mappings at machine addresses in a PV dom0's IOMMU page tables.

    Args:
        host: the facts of the running host.
    """
    variant = host["maptrack"]
    if variant == "unknown":
        return None
    at_machine_addresses = (host["dom0"], host["iommu"]) == ("PV", "strict")
    return variant == "fast" and (host["bus_addresses"] or not at_machine_addresses)


def read_mitigations(console: str) -> str | None:
    """Return Xen's speculation mitigations; None if later messages have overwritten them.

    Args:
        console: the contents of the console ring.
    """
    printed = _MITIGATIONS.search(console)
    return None if printed is None else printed[1]


def is_debug(console: str) -> bool | None:
    """Return whether Xen is a debug build; None if neither its banner nor hypfs is available.

    The banner is in the console ring until later messages overwrite it; the build
    configuration is in hypfs.

    Args:
        console: the contents of the console ring.
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
    """Return how Xen uses the IOMMU for dom0, on which the path of a grant map depends.

    Args:
        directio: whether an IOMMU is in use (`XEN_SYSCTL_PHYSCAP_directio`).
        kind: kind of dom0; a translated dom0 (PVH or HVM) is always strict.
        commandline: Xen's command line.
        console: the contents of the console ring; the mode that Xen printed at
            boot takes precedence over the command line.
    """
    if not directio:
        return "none"
    if kind in {"PVH", "HVM"}:
        return "strict"
    boot_message = _DOM0_MODE.search(console)
    if boot_message is not None:
        return cast("Iommu", boot_message[1].lower())
    if command_line.read_dom0_iommu(commandline, "strict"):
        return "strict"
    if command_line.read_dom0_iommu(commandline, "passthrough"):
        return "passthrough"
    return "relaxed" if kind == "PV" else "unknown"
