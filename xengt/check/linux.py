"""Checks of Linux: Xen below it, privileges, libraries, devices, clock, XenStore."""

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from xengt.check.outcome import (
    DOM0_COMMANDS,
    Check,
    Command,
    missing,
    ok,
    sentence,
    warning,
)
from xengt.errors import XengtError
from xengt.sharing.gntalloc import page_limit
from xengt.xen.device_access import open_error
from xengt.xen.kernel import (
    ROOT,
    below,
    capabilities,
    clocksource,
    dom0_kind,
    first_line,
    is_control_domain,
    is_on_xen,
    is_translated,
)
from xengt.xen.xenstore import XenStore
from xenlib_cffi import device_paths
from xenlib_cffi.errors import MissingLibraryError
from xenlib_cffi.library import load


class Device(NamedTuple):
    """A device in /dev/xen.

    Attributes:
        file: path of the device.
        module: kernel module that creates it.
        use: what uses it, as the end of a sentence about the device.
        prevents: the commands that cannot run without it.
    """

    file: str
    module: str
    use: str
    prevents: tuple[Command, ...] = ()


DEVICES = (
    Device(
        device_paths.PRIVCMD, "xen-privcmd", "used by all commands that call Xen", DOM0_COMMANDS
    ),
    # libxencall uses locked memory if it does not exist.
    Device(device_paths.HYPERCALL, "xen-privcmd", "used for the buffers of hypercalls"),
    Device(
        device_paths.GNTDEV,
        "xen-gntdev",
        "used by the engines gntdev, gntdev-copy and persistent, and by `xengt map`",
        (Command.MAP,),
    ),
    Device(
        device_paths.GNTALLOC,
        "xen-gntalloc",
        "used only by `xengt share`, `xengt bench --granter self` and the engine copy",
        (Command.SHARE,),
    ),
    # Whether XenStore answers, over this device or over the daemon's socket, is a check of its own.
    Device(device_paths.XENBUS, "xenfs", "used by `xengt share` in a guest, to reach XenStore"),
)

_LIBRARY = re.compile(r"/lib(xen\w+)\.so\.([\d.]+)$", re.MULTILINE)


def run(root: Path = ROOT) -> Iterator[Check]:
    """Yield the checks; without Xen, only those that do not depend on it.

    Args:
        root: directory with /dev, /proc and /sys.
    """
    on_xen = is_on_xen(root)
    yield xen(on_xen=on_xen, root=root)
    if on_xen:
        yield control_domain(root)
    yield privileges(root)
    yield libraries()
    if on_xen:
        for each in DEVICES:
            yield _device(each, root)
        yield from gntalloc_limit(root)
        yield clock(root)
        yield xenstore()


def xen(*, on_xen: bool, root: Path) -> Check:
    """Check that Linux runs on Xen."""
    if on_xen and first_line("sys/hypervisor/type", root) is None:
        return warning(
            "Xen",
            "Linux runs on Xen, but this kernel has no /sys/hypervisor, so the kind of dom0 and "
            "Xen's features are unknown",
            "Use a kernel that is built with CONFIG_XEN_SYS_HYPERVISOR=y.",
        )
    if on_xen:
        return ok("Xen", f"Linux runs on Xen ({dom0_kind(root) or 'unknown guest type'})")
    return missing(
        "Xen",
        "Linux does not run on Xen: /sys/hypervisor/type is not `xen`, and there is no /proc/xen",
        "Boot Xen with this Linux as its dom0 (Debian: apt install xen-system-amd64), "
        "or use the lab in xengt's source tree: deploy/lab/lab run.",
        tuple(Command),
    )


def control_domain(root: Path) -> Check:
    """Check that this is the control domain, which may create domains and map their pages."""
    mount = "Mount xenfs: `mount -t xenfs xenfs /proc/xen`."
    if is_control_domain(root):
        if capabilities(root) is None:
            return warning(
                "dom0",
                "this is the control domain, but /proc/xen is not mounted, which Xen's scripts and "
                "the service of xengt require",
                mount,
            )
        return ok("dom0", "this is the control domain")
    if capabilities(root) is None:
        return missing(
            "dom0",
            "/proc/xen/capabilities does not exist, so it is unknown whether this is dom0",
            mount,
            DOM0_COMMANDS,
        )
    return missing(
        "dom0",
        "this is a guest, where only `xengt share` and `xengt map` run",
        "Run `xengt share --to 0` here, and `xengt bench --granter guest` in dom0.",
        DOM0_COMMANDS,
    )


def privileges(root: Path) -> Check:
    """Check that this user can open Xen's devices."""
    if os.geteuid() == 0:
        return ok("privileges", "this user is root")
    if open_error(below(root, device_paths.PRIVCMD)) is None:
        return ok("privileges", "this user is not root, but can open Xen's devices")
    return missing(
        "privileges",
        "this user is not root and cannot open Xen's devices",
        "Run xengt with sudo.",
        DOM0_COMMANDS,
    )


def libraries() -> Check:
    """Check that Xen's libraries can be loaded, and report their versions."""
    try:
        load()
    except MissingLibraryError as absent:
        return missing("libraries", str(absent), sentence(absent.remedy), tuple(Command))
    loaded = loaded_libraries()
    return ok("libraries", ", ".join(f"{name} {loaded[name]}" for name in sorted(loaded)))


def loaded_libraries() -> dict[str, str]:
    """Return the versions of Xen's libraries that this process has loaded, by name."""
    try:
        maps = Path("/proc/self/maps").read_text(errors="replace")
    except OSError:
        return {}
    return dict(_LIBRARY.findall(maps))


def _device(device: Device, root: Path) -> Check:
    """Check that this user can open a device."""
    name, file = f"device {Path(device.file).name}", device.file
    refused = open_error(below(root, file))
    if refused is None:
        return ok(name, f"{file} can be opened")
    prevents = set(device.prevents)
    if device.file == device_paths.GNTDEV and is_translated(root):
        prevents.add(Command.BENCH)  # Xen rejects the mappings of the hypercall engine there

    def outcome(what: str, remedy: str) -> Check:
        if prevents:
            return missing(name, what, remedy, sorted(prevents))
        return warning(name, what, remedy)

    if refused.errno == errno.ENOENT:
        return outcome(
            f"{file} does not exist; it is {device.use}",
            f"Load its module: `modprobe {device.module}`.",
        )
    what = f"{file} cannot be opened: {refused.strerror}; it is {device.use}"
    if refused.errno in {errno.EACCES, errno.EPERM}:
        return outcome(what, "Run xengt as root.")
    return outcome(what, "See the messages of its driver in `dmesg`.")


def gntalloc_limit(root: Path) -> Iterator[Check]:
    """Report how many pages gntalloc can share; nothing if its module is not loaded."""
    limit = page_limit(root)
    if limit is not None:
        yield ok("gntalloc limit", f"{limit} pages can be shared by this domain at once")


def clock(root: Path) -> Check:
    """Check that Linux reads the time directly from the TSC."""
    source = clocksource(root)
    if source == "tsc":
        return ok("clock", "the clock source of Linux is tsc")
    return warning(
        "clock",
        f"the clock source of Linux is {source}, which is slower to read than tsc and on some "
        "hosts stands still for longer than a grant operation takes",
        "If the host's TSC is reliable (see `xl dmesg`), add clocksource=tsc tsc=reliable to "
        "dom0's kernel command line.",
    )


def xenstore() -> Check:
    """Check that XenStore answers."""
    try:
        with XenStore() as store:
            return ok("XenStore", f"XenStore answers; this is domain {store.own_domid()}")
    except XengtError as error:
        return missing("XenStore", error.what, sentence(error.remedy), (Command.SHARE,))
