"""What the hypervisor says of itself: version, IOMMU, grant limits, and what makes noise."""

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from xengt.check.linux import loaded_libraries
from xengt.check.outcome import Check, missing, ok, warning
from xengt.xen import host, kernel, limits, maptrack
from xenlib_cffi.ctrl import Ctrl, DomainInfo, PhysInfo, XenVersion
from xenlib_cffi.errors import MissingLibraryError, XenLibraryError
from xenlib_cffi.foreignmemory import ENTRIES_PER_FRAME

#: From this part of its limit on, a grant table is as good as full.
NEARLY_FULL = 0.9


@dataclass(frozen=True)
class Answers:
    """What Xen answered, all at one time.

    Args:
        version: `xc_version`.
        machine: `xc_physinfo`.
        console: what the console ring holds.
        domains: every domain.
        grants: grant frames and their limit, by domid.
    """

    version: XenVersion
    machine: PhysInfo
    console: str
    domains: tuple[DomainInfo, ...]
    grants: dict[int, tuple[int, int]]

    @classmethod
    def ask(cls) -> Self:
        """Ask Xen.

        Raises:
            MissingLibraryError: Xen's libraries are not here.
            XenLibraryError: Xen does not answer, or not to this user.
        """
        with Ctrl() as ctrl:
            domains = tuple(ctrl.domains())
            return cls(
                version=ctrl.version(),
                machine=ctrl.physinfo(),
                console=ctrl.console(),
                domains=domains,
                grants={d.domid: ctrl.grant_size(d.domid) for d in domains if not d.dying},
            )


def run() -> Iterator[Check]:
    """Check all of it; nothing where there is no Xen to ask, which other checks say."""
    if not kernel.is_control_domain():
        return
    try:
        answers = Answers.ask()
    except MissingLibraryError:
        return
    except XenLibraryError as refused:
        yield _refusal(refused)
        return
    kind = kernel.dom0_kind()
    yield version(answers)
    yield bound_library(answers.version, loaded_libraries().get("xenctrl"))
    yield dom0(kind)
    yield iommu(answers, kind, bus_addresses=kernel.has_bus_addresses())
    yield grant_frames(answers)
    words = answers.version.commandline
    yield limit(limits.MAX_FRAMES, words, ENTRIES_PER_FRAME, "references")
    yield limit(limits.MAX_MAPTRACK_FRAMES, words, limits.HANDLES_A_FRAME, "mappings")
    yield ok("maptrack", maptrack.WORDS[maptrack.running(words)])
    yield vcpus(answers, kernel.online_vcpus())
    yield build(host.is_debug(answers.console))
    yield cpu(kernel.cpu_model())
    yield console(answers.version.commandline)


def _refusal(refused: XenLibraryError) -> Check:
    """Say why Xen does not answer: EACCES is its word for another interface's version."""
    answered = refused.call != "xc_interface_open"
    remedy = (
        "libxenctrl serves one version of Xen only: install the one of the running hypervisor."
        if answered and refused.errno == errno.EACCES
        else "Run this as root in dom0."
    )
    return missing("hypervisor", f"Xen does not answer: {refused}", remedy)


def version(answers: Answers) -> Check:
    """Say which Xen this is."""
    build_id = answers.version.build_id or "none"
    return ok("hypervisor", f"Xen {answers.version}, build id {build_id}")


def bound_library(version: XenVersion, library: str | None) -> Check:
    """Check that libxenctrl is of the running Xen's version."""
    running = f"{version.major}.{version.minor}"
    if library is None or f"{library}.".startswith(f"{running}."):
        return ok("libxenctrl", f"of the running Xen's version, {running}")
    return warning(
        "libxenctrl",
        f"it is of Xen {library}, and Xen {running} runs; Xen may refuse its calls",
        f"Install the libraries of Xen {running} (Debian: libxenmisc{running}).",
    )


def dom0(kind: kernel.Dom0 | None) -> Check:
    """Check how dom0 runs, on which the hypercall engine depends."""
    if kind == "PV":
        return ok("dom0 kind", "PV")
    return warning(
        "dom0 kind",
        f"{kind or 'unknown'}: Xen refuses the device map that the hypercall engine makes",
        "Use `xengt bench --engine gntdev`, or boot a PV dom0 (Xen's command line: dom0=pv).",
    )


def iommu(answers: Answers, kind: kernel.Dom0 | None, *, bus_addresses: bool) -> Check:
    """Say how the IOMMU is used: the path of a map depends on it."""
    if bus_addresses:
        return ok("IOMMU", "strict: each map of a grant has a bus address of its own there")
    mode = host.iommu_mode(
        answers.machine.directio, kind, answers.version.commandline, answers.console
    )
    words = {
        "none": "not in use",
        "relaxed": "relaxed: mapping a grant does not touch it",
        "strict": "strict: each map and unmap of a grant updates it",
        "passthrough": "passthrough: dom0's devices go around it",
        "unknown": "in use; Xen does not say any more how",
    }
    return ok("IOMMU", words[mode])


def grant_frames(answers: Answers) -> Check:
    """Check how full the domains' grant tables are."""
    sizes = [
        f"domain {domid}: {frames} of {most}" for domid, (frames, most) in answers.grants.items()
    ]
    full = [
        size
        for size, (frames, most) in zip(sizes, answers.grants.values(), strict=True)
        if frames >= NEARLY_FULL * most
    ]
    if full:
        return warning(
            "grant frames",
            f"nearly full: {'; '.join(full)}",
            "Give the domain more (xl.cfg: max_grant_frames), or gnttab_max_frames=N on Xen's "
            "command line.",
        )
    return ok("grant frames", "; ".join(sizes))


def limit(option: str, commandline: str, entries: int, of: str) -> Check:
    """Say a limit on every domain's table, in frames and in what they hold."""
    found = limits.limit(option, commandline)
    return ok(
        option, f"{found.frames} frames, {found.frames * entries} {of} a domain ({found.source})"
    )


def vcpus(answers: Answers, own: int) -> Check:
    """Check that vCPUs need not wait for one another."""
    pcpus = answers.machine.cpus
    running = [d for d in answers.domains if not (d.dying or d.paused or d.shutdown)]
    total = sum(domain.vcpus for domain in running)
    what = f"dom0 has {own} vCPUs, all domains {total}, on {pcpus} pCPUs"
    if own > pcpus or total > pcpus:
        return warning(
            "vCPUs",
            f"{what}: they wait for one another",
            "Give dom0 fewer (Xen's command line: dom0_max_vcpus=N dom0_vcpus_pin), and shut "
            "other domains down while measuring.",
        )
    return ok("vCPUs", what)


def build(debug: bool | None) -> Check:
    """Check that Xen is not a debug build, whose locks and checks cost time."""
    if debug is None:
        return warning(
            "Xen's build",
            "neither the console ring nor hypfs says whether it is a debug build",
            "See the banner in the log of Xen's console: debug=y or debug=n.",
        )
    if debug:
        return warning(
            "Xen's build",
            "a debug build: its figures are not a release build's",
            "Build Xen with CONFIG_DEBUG off to measure.",
        )
    return ok("Xen's build", "a release build")


def cpu(model: str) -> Check:
    """Check that the CPU is real."""
    if kernel.is_emulated(model):
        return warning(
            "CPU",
            f"{model}: emulated, so times are the emulator's",
            "Compare instruction counts (the lab's --exact) or measure on a real host.",
        )
    return ok("CPU", model)


def console(commandline: str) -> Check:
    """Check that Xen does not wait for its console."""
    if "sync_console" in commandline.split():
        return warning(
            "Xen's console",
            "sync_console: Xen stops while it prints",
            "Take sync_console off Xen's command line.",
        )
    return ok("Xen's console", "not synchronous")
