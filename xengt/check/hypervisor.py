"""Checks of the hypervisor: version, IOMMU, grant limits, and sources of measurement noise."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from xengt.check import hvm_guests
from xengt.check.linux import loaded_libraries
from xengt.check.outcome import DOM0_COMMANDS, Check, Command, missing, ok, warning
from xengt.xen import (
    bus_addresses,
    grant_table,
    host,
    kernel,
    limits,
    maptrack,
    outer_hypervisor,
)
from xengt.xen.handle import DOM0
from xengt.xen.unstable import unless_other_version
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.ctrl_results import DomainInfo, PhysInfo, XenVersion
from xenlib_cffi.errors import MissingLibraryError, XenLibraryError
from xenlib_cffi.foreignmemory import ENTRIES_PER_FRAME

#: fraction of its limit from which on a grant table counts as nearly full
NEARLY_FULL = 0.9


@dataclass(frozen=True)
class HypervisorState:
    """Everything that the checks need from Xen.

    Args:
        version: of Xen (`xc_version`).
        machine: the host (`xc_physinfo`); None if Xen's sysctl has another version.
        console: content of the console ring; empty if Xen's sysctl has another version.
        domains: all domains; None if Xen's domctl has another version.
        grants: current size and limit of the grant table in frames, by domid.
    """

    version: XenVersion
    machine: PhysInfo | None
    console: str
    domains: tuple[DomainInfo, ...] | None
    grants: dict[int, tuple[int, int]]

    @classmethod
    def read(cls) -> Self:
        """Read the state from Xen.

        Raises:
            MissingLibraryError: Xen's libraries cannot be loaded.
            XenLibraryError: Xen rejects a call, for example because of this user's privileges.
        """
        with Ctrl() as ctrl:
            domains = unless_other_version(lambda: tuple(ctrl.domains()))
            domids = [DOM0] if domains is None else [d.domid for d in domains if not d.dying]
            return cls(
                version=ctrl.version(),
                machine=unless_other_version(ctrl.physinfo),
                console=unless_other_version(ctrl.console) or "",
                domains=domains,
                grants={domid: ctrl.grant_size(domid) for domid in domids},
            )


def run() -> Iterator[Check]:
    """Yield the checks; none if other checks have found that Xen cannot be queried."""
    if not kernel.is_control_domain():
        return
    try:
        state = HypervisorState.read()
    except MissingLibraryError:
        return
    except XenLibraryError as error:
        yield _unreadable(error)
        return
    kind = kernel.dom0_kind()
    yield version(state)
    yield bound_library(state, loaded_libraries().get("xenctrl"))
    yield dom0(kind)
    if state.machine is not None:
        yield pv_domains(supported=state.machine.pv)
    mapping_addresses = bus_addresses.detect()
    yield iommu(state, kind, bus_addresses=mapping_addresses == "own")
    if mapping_addresses == "foreign":
        yield foreign_feature()
    yield grant_frames(state)
    commandline = state.version.commandline
    yield limit(limits.MAX_FRAMES, commandline, ENTRIES_PER_FRAME, "references")
    yield limit(limits.MAX_MAPTRACK_FRAMES, commandline, grant_table.HANDLES_PER_FRAME, "mappings")
    yield ok("maptrack", maptrack.DESCRIPTIONS[maptrack.detect(commandline)])
    if state.machine is not None and state.domains is not None:
        yield vcpus(state.machine.cpus, state.domains, kernel.online_vcpus())
    yield build(host.is_debug(state.console))
    yield cpu(kernel.cpu_model())
    yield nesting(outer_hypervisor.detect(state.console))
    if state.domains is not None:
        yield hvm_guests.run(state.domains)
    yield console(state.version.commandline)


def _unreadable(error: XenLibraryError) -> Check:
    """Report why Xen cannot be queried at all."""
    return missing(
        "hypervisor",
        f"the hypervisor cannot be queried: {error}",
        "Run xengt as root in dom0.",
        DOM0_COMMANDS,
    )


def version(state: HypervisorState) -> Check:
    """Report the version and the build ID of Xen."""
    build_id = state.version.build_id or "none"
    return ok("hypervisor", f"Xen {state.version}, build ID {build_id}")


def bound_library(state: HypervisorState, library: str | None) -> Check:
    """Check that libxenctrl has the version of the running Xen.

    Args:
        state: of the hypervisor.
        library: version of libxenctrl; None if it is unknown.
    """
    running = f"{state.version.major}.{state.version.minor}"
    rejected = [
        name
        for name, value in (
            ("domctl (domains)", state.domains),
            ("sysctl (the host and Xen's console)", state.machine),
        )
        if value is None
    ]
    if rejected:
        return missing(
            "libxenctrl",
            f"Xen {running} rejects {' and '.join(rejected)} of libxenctrl, which has version "
            f"{library or 'unknown'}; `xengt bench --granter self` and `xengt map` work",
            f"Install the libraries of Xen {running} (Debian: libxenmisc{running}).",
            (Command.SERVE, Command.USAGE),
        )
    if library is None or f"{library}.".startswith(f"{running}."):
        return ok("libxenctrl", f"libxenctrl has the version of the running Xen, {running}")
    return warning(
        "libxenctrl",
        f"Xen {running} may reject the calls of libxenctrl, which has version {library}",
        f"Install the libraries of Xen {running} (Debian: libxenmisc{running}).",
    )


def dom0(kind: kernel.Dom0 | None) -> Check:
    """Check that dom0 is PV, which the hypercall engine and the granter `self` require."""
    if kind == "PV":
        return ok("dom0 kind", "dom0 is PV")
    return warning(
        "dom0 kind",
        f"dom0 is {kind or 'of unknown kind'}; Xen accepts the device mappings of the hypercall "
        "engine and mappings of dom0's own pages (`--granter self`) only in a PV dom0",
        "Use `xengt bench --engine gntdev` with another granter, or boot a PV dom0 (Xen's command "
        "line: dom0=pv).",
    )


def pv_domains(*, supported: bool) -> Check:
    """Check that Xen supports PV domains, which empty domains are."""
    if supported:
        return ok("PV domains", "this Xen supports PV domains")
    return warning(
        "PV domains",
        "this Xen was built without support for PV domains, which `xengt bench --granter empty` "
        "and the probe of `xengt serve` create",
        "Use `xengt bench --granter guest` and `probe.enabled = false`, or boot a Xen that is "
        "built with CONFIG_PV=y.",
    )


def foreign_feature() -> Check:
    """Report that a Xen without the series sets the bit of one of the series' features."""
    return warning(
        "feature bit 21",
        "this Xen sets feature bit 21 without the patches of xengt, which use it for bus addresses "
        "of grant mappings; xengt ignores the bit",
        "Do not boot a dom0 kernel with the patches in patches/linux-6.12 on this Xen: it would "
        "take the addresses of grant mappings for bus addresses.",
    )


def iommu(state: HypervisorState, kind: kernel.Dom0 | None, *, bus_addresses: bool) -> Check:
    """Report the mode of the IOMMU, on which the cost of a map depends."""
    if bus_addresses:
        return ok("IOMMU", "strict: each grant mapping has a bus address of its own in the IOMMU")
    if state.machine is None:
        return ok("IOMMU", "unknown: Xen does not report whether it uses one")
    mode = host.iommu_mode(state.machine.directio, kind, state.version.commandline, state.console)
    meanings = {
        "none": "Xen uses no IOMMU",
        "relaxed": "relaxed: grant operations do not update the IOMMU",
        "strict": "strict: each map and unmap of a grant updates the IOMMU",
        "passthrough": "passthrough: dom0's devices bypass the IOMMU",
        "unknown": "Xen uses an IOMMU in an unknown mode; the boot messages are no longer in the "
        "console ring",
    }
    return ok("IOMMU", meanings[mode])


def grant_frames(state: HypervisorState) -> Check:
    """Check that no domain's grant table is nearly full."""
    sizes = [
        f"domain {domid}: {frames} of {most}" for domid, (frames, most) in state.grants.items()
    ]
    full = [
        size
        for size, (frames, most) in zip(sizes, state.grants.values(), strict=True)
        if frames >= NEARLY_FULL * most
    ]
    if full:
        return warning(
            "grant frames",
            f"grant tables nearly full, in frames: {'; '.join(full)}",
            "Raise the limit of the domain (xl.cfg: max_grant_frames) or of all domains "
            "(Xen's command line: gnttab_max_frames=N).",
        )
    return ok("grant frames", f"frames of grant tables: {'; '.join(sizes)}")


def limit(option: str, commandline: str, entries: int, contents: str) -> Check:
    """Report a limit on tables, in frames and in entries: of dom0, and of domains created now.

    They differ if the parameter was changed after dom0 had been created.

    Args:
        option: of Xen's command line, which names the limit.
        commandline: of Xen.
        entries: in a frame.
        contents: what an entry is for, in the plural.
    """
    own, current = limits.dom0_limit(option, commandline), limits.limit(option, commandline)
    domains = f"{current.frames} frames, {current.frames * entries} {contents}"
    if own.frames == current.frames:
        return ok(option, f"{domains} per domain ({current.source})")
    return ok(
        option,
        f"dom0 has {own.frames} frames, {own.frames * entries} {contents} ({own.source}); "
        f"each domain that is created now has {domains} ({current.source})",
    )


def vcpus(pcpus: int, domains: Sequence[DomainInfo], own: int) -> Check:
    """Check that there are enough pCPUs for all vCPUs.

    Args:
        pcpus: number of pCPUs.
        domains: all domains.
        own: number of dom0's online vCPUs.
    """
    running = [d for d in domains if not (d.dying or d.paused or d.shutdown)]
    total = sum(domain.vcpus for domain in running)
    what = f"dom0 has {own} vCPUs and all running domains have {total}, on {pcpus} pCPUs"
    if own > pcpus or total > pcpus:
        return warning(
            "vCPUs",
            f"{what}: vCPUs compete for pCPUs",
            "Reduce dom0's vCPUs (Xen's command line: dom0_max_vcpus=N dom0_vcpus_pin), and shut "
            "down other domains while measuring.",
        )
    return ok("vCPUs", what)


def build(debug: bool | None) -> Check:
    """Check that Xen is not a debug build, whose locks and assertions cost time.

    Args:
        debug: whether it is one; None if unknown.
    """
    if debug is None:
        return warning(
            "Xen's build",
            "unknown: neither the console ring nor hypfs shows whether Xen is a debug build",
            "See the banner in the log of Xen's console (debug=y or debug=n).",
        )
    if debug:
        return warning(
            "Xen's build",
            "Xen is a debug build; its results do not apply to a release build",
            "Measure with a Xen built without CONFIG_DEBUG.",
        )
    return ok("Xen's build", "Xen is a release build")


def cpu(model: str) -> Check:
    """Check that the CPU is not emulated."""
    if kernel.is_emulated(model):
        return warning(
            "CPU",
            f"{model} is an emulated CPU; times are those of the emulator",
            "Compare instruction counts (the lab's --exact), or measure on a real host.",
        )
    return ok("CPU", model)


def nesting(outer: str | None) -> Check:
    """Check that Xen runs on hardware.

    Args:
        outer: name of the hypervisor that Xen runs on; None if none was detected.
    """
    if outer is None:
        return ok("outer hypervisor", "no hypervisor was detected below Xen")
    return warning(
        "outer hypervisor",
        f"Xen runs in a virtual machine ({outer}): times include those of the outer hypervisor, "
        "which intercepts TLB flushes, IPIs and other instructions of Xen",
        "Measure on a host where Xen runs on hardware.",
    )


def console(commandline: str) -> Check:
    """Check that Xen's console is not synchronous."""
    if "sync_console" in commandline.split():
        return warning(
            "Xen's console",
            "synchronous: Xen stops while it prints (sync_console)",
            "Remove sync_console from Xen's command line.",
        )
    return ok("Xen's console", "not synchronous: Xen does not stop while it prints")
