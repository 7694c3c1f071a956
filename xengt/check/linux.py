"""What Linux offers: Xen under it, devices, libraries, XenStore, privileges."""

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from xengt.check.outcome import Check, missing, ok, warning
from xengt.errors import XengtError
from xengt.xen.device_access import refusal
from xengt.xen.kernel import ROOT, clocksource, dom0_kind, first_line, is_control_domain
from xengt.xen.xenstore import XenStore
from xenlib_cffi.errors import MissingLibraryError
from xenlib_cffi.library import load

#: Each device, the module that makes it, and what needs it.
DEVICES = (
    ("privcmd", "xen-privcmd", "every call into Xen"),
    ("hypercall", "xen-privcmd", "the hypercall engine"),
    ("gntdev", "xen-gntdev", "the gntdev engine"),
    ("gntalloc", "xen-gntalloc", "`xengt share` and the self granter"),
    ("evtchn", "xen-evtchn", "event channels"),
    ("xenbus", "xenfs", "XenStore in a guest"),
)

_LIBRARY = re.compile(r"/lib(xen\w+)\.so\.([\d.]+)$", re.MULTILINE)


def run(root: Path = ROOT) -> Iterator[Check]:
    """Check all of it.

    Args:
        root: where /dev, /proc and /sys are.
    """
    on_xen = first_line("sys/hypervisor/type", root) == "xen"
    yield xen(on_xen=on_xen, root=root)
    if on_xen:
        yield control_domain(root)
    yield privileges(root)
    yield libraries()
    if on_xen:
        for device, module, need in DEVICES:
            yield _device(root, device, module, need)
        yield from gntalloc_limit(root)
        yield clock(root)
        yield xenstore()


def xen(*, on_xen: bool, root: Path) -> Check:
    """Check that Linux runs on Xen at all."""
    if on_xen:
        return ok("Xen", f"Linux runs on Xen ({dom0_kind(root) or 'it does not say as what'})")
    return missing(
        "Xen",
        "this Linux does not run on Xen: /sys/hypervisor/type does not say so",
        "Boot Xen with this Linux as its dom0 (Debian: apt install xen-system-amd64), "
        "or use the lab: ./deploy/lab/demo.",
    )


def control_domain(root: Path) -> Check:
    """Check that this is the domain that may create and map others."""
    if is_control_domain(root):
        return ok("dom0", "this is the control domain")
    if first_line("proc/xen/capabilities", root) is None:
        return missing(
            "dom0",
            "/proc/xen is not there, so Linux does not tell whether this is dom0",
            "Mount it: `mount -t xenfs xenfs /proc/xen`.",
        )
    return missing(
        "dom0",
        "this is a guest: `xengt share` runs here, everything else in dom0",
        "Run `xengt share --to 0` here, and `xengt bench --granter guest` in dom0.",
    )


def privileges(root: Path) -> Check:
    """Check that this user may open Xen's devices."""
    if os.geteuid() == 0:
        return ok("privileges", "root")
    if refusal(root / "dev/xen/privcmd") is None:
        return ok("privileges", "not root, and Xen's devices open")
    return missing("privileges", "not root, and Xen's devices are root's", "Run this with sudo.")


def libraries() -> Check:
    """Check that Xen's libraries are here, and which."""
    try:
        load()
    except MissingLibraryError as absent:
        remedy = absent.remedy
        return missing("libraries", str(absent), remedy[:1].upper() + remedy[1:] + ".")
    loaded = loaded_libraries()
    return ok("libraries", ", ".join(f"{name} {loaded[name]}" for name in sorted(loaded)))


def loaded_libraries() -> dict[str, str]:
    """Read which of Xen's libraries this process has loaded, and their versions."""
    try:
        maps = Path("/proc/self/maps").read_text(errors="replace")
    except OSError:
        return {}
    return dict(_LIBRARY.findall(maps))


def _device(root: Path, device: str, module: str, need: str) -> Check:
    """Check that a device is there and opens for this user."""
    path = root / "dev/xen" / device
    name = f"device {device}"
    refused = refusal(path)
    if refused is None:
        return ok(name, f"/dev/xen/{device}")
    if refused.errno == errno.ENOENT:
        return missing(
            name,
            f"/dev/xen/{device} is not there, which is for {need}",
            f"Load its module: `modprobe {module}`.",
        )
    if refused.errno in {errno.EACCES, errno.EPERM}:
        return missing(name, f"/dev/xen/{device} is not this user's to open", "Run this as root.")
    return missing(
        name,
        f"/dev/xen/{device} does not open: {refused.strerror}",
        "See `dmesg` for what its driver says.",
    )


def gntalloc_limit(root: Path) -> Iterator[Check]:
    """Say how many pages gntalloc shares; its device tells when it is not there."""
    limit = first_line("sys/module/xen_gntalloc/parameters/limit", root)
    if limit is not None:
        yield ok("gntalloc limit", f"{limit} pages may be shared from this domain at once")


def clock(root: Path) -> Check:
    """Check that Linux reads the time straight from the TSC."""
    source = clocksource(root)
    if source == "tsc":
        return ok("clock", "tsc")
    return warning(
        "clock",
        f"Linux takes the time from {source}: slower to read, and on some hosts it stands still "
        "for longer than a grant operation takes",
        "If the host's TSC is sound (`xl dmesg`), add clocksource=tsc tsc=reliable to dom0's "
        "kernel command line.",
    )


def xenstore() -> Check:
    """Check that XenStore answers."""
    try:
        with XenStore() as store:
            return ok("XenStore", f"it answers: this is domain {store.own_domid()}")
    except XengtError as error:
        return missing("XenStore", error.what, error.remedy)
