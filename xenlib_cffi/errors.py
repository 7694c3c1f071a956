"""The exceptions of the bindings, and the texts of Xen's statuses."""

import errno
import os
from enum import IntEnum
from pathlib import PurePosixPath


class GrantStatus(IntEnum):
    """The `GNTST_*` values of xen/grant_table.h: the status of one grant operation."""

    OKAY = 0
    GENERAL_ERROR = -1
    BAD_DOMAIN = -2
    BAD_GNTREF = -3
    BAD_HANDLE = -4
    BAD_VIRT_ADDR = -5
    BAD_DEV_ADDR = -6
    NO_DEVICE_SPACE = -7
    PERMISSION_DENIED = -8
    BAD_PAGE = -9
    BAD_COPY_ARG = -10
    ADDRESS_TOO_BIG = -11
    EAGAIN = -12
    NO_SPACE = -13

    @property
    def text(self) -> str:
        """Xen's name of the status and its meaning, as in the comments of the header."""
        return f"GNTST_{self.name.lower()}: {_MEANINGS[self]}"


_MEANINGS = {
    GrantStatus.OKAY: "normal return",
    GrantStatus.GENERAL_ERROR: "general undefined error",
    GrantStatus.BAD_DOMAIN: "unrecognised domain id",
    GrantStatus.BAD_GNTREF: "unrecognised or inappropriate grant reference",
    GrantStatus.BAD_HANDLE: "unrecognised or inappropriate handle",
    GrantStatus.BAD_VIRT_ADDR: "inappropriate virtual address to map",
    GrantStatus.BAD_DEV_ADDR: "inappropriate device address to unmap",
    GrantStatus.NO_DEVICE_SPACE: "out of space in the I/O MMU",
    GrantStatus.PERMISSION_DENIED: "not enough privilege for operation",
    GrantStatus.BAD_PAGE: "specified page was invalid for the operation",
    GrantStatus.BAD_COPY_ARG: "copy arguments cross page boundary",
    GrantStatus.ADDRESS_TOO_BIG: "transfer page address too large",
    GrantStatus.EAGAIN: "operation not done; try again",
    GrantStatus.NO_SPACE: "out of space (maptrack or grant table is full)",
}

_GRANT_REMEDIES: dict[int, str] = {
    GrantStatus.BAD_DOMAIN: "check that the granter is running",
    GrantStatus.BAD_GNTREF: "check that the granter grants this reference to the mapping domain",
    GrantStatus.NO_SPACE: "unmap other references, or raise gnttab_max_maptrack_frames on Xen's "
    "command line",
}


def status_text(status: int) -> str:
    """Describe the status of a grant operation, also an unknown one.

    Args:
        status: a `GNTST_*` value.
    """
    try:
        return GrantStatus(status).text
    except ValueError:
        return f"unknown status {status} (not in xen/grant_table.h)"


class BindingError(Exception):
    """Base class of the exceptions that the bindings raise.

    Attributes:
        remedy: what the user can change, as a clause without a full stop; "" if unknown.
    """

    remedy: str = ""


class MissingLibraryError(BindingError):
    """Xen's libraries, or the extension module that is linked with them, cannot be loaded.

    Args:
        reason: what cannot be loaded.
        remedy: how to install it.
    """

    def __init__(self, reason: str = "", remedy: str = "") -> None:
        """Store the remedy."""
        super().__init__(reason)
        self.remedy = remedy


class XenLibraryError(BindingError, OSError):
    """A call into one of Xen's libraries failed.

    Args:
        call: name of the C function.
        subject: the domain, the reference or the device that it was called for.
        number: the errno of the call.
        detail: the message that the library logged; "" if there is none.
    """

    def __init__(self, call: str, subject: str, number: int, detail: str = "") -> None:
        """Store the arguments, and derive the remedy from the errno and the device."""
        super().__init__(number, os.strerror(number))
        self.call = call
        self.subject = subject
        self.detail = detail
        self.remedy = (
            "install the libxenctrl of the running Xen's version, which `xengt check` prints"
            if self.is_other_version
            else _device_remedy(subject, number)
        )

    @property
    def is_other_version(self) -> bool:
        """Whether Xen has another version of the interface that libxenctrl used: domctl or sysctl.

        These are not stable between versions of Xen, which rejects their other versions with
        EACCES, and an unprivileged caller with EPERM.
        """
        return (
            self.errno == errno.EACCES
            and self.call.startswith("xc_")
            and self.call != "xc_interface_open"
        )

    def __str__(self) -> str:
        """Return the call, the subject, the errno's name and its meaning."""
        number = self.errno or 0
        name = errno.errorcode.get(number, str(number))
        logged = f" (message of the library: {self.detail})" if self.detail else ""
        return f"{self.call} on {self.subject}: {name}, {self.strerror}{logged}"


def _device_remedy(subject: str, number: int) -> str:
    """Return how to make Xen accept a call or Linux open a device; "" if unknown."""
    if number in {errno.EACCES, errno.EPERM}:
        return "run this program as root"
    device = PurePosixPath(subject)
    if device.parent == PurePosixPath("/dev/xen") and number in {
        errno.ENOENT,
        errno.ENODEV,
        errno.ENXIO,
    }:
        return f"load the driver: modprobe xen-{device.name}"
    return ""


class GrantError(BindingError):
    """Xen rejected one grant operation, or the mapped page is not the granted page.

    Args:
        call: name of the operation.
        domid: the granter.
        gref: the reference.
        reason: Xen's text of the status, or what is wrong with the page.
        status: the `GNTST_*` value; None if the page is wrong.
    """

    def __init__(
        self, call: str, domid: int, gref: int, reason: str, status: int | None = None
    ) -> None:
        """Store the arguments, and derive the remedy from the status."""
        super().__init__(f"{call} on reference {gref} of domain {domid}: {reason}")
        self.call = call
        self.domid = domid
        self.gref = gref
        self.status = status
        self.remedy = "" if status is None else _GRANT_REMEDIES.get(status, "")
