"""What the libraries answer when they fail, in Xen's own words."""

import errno
import os
from enum import IntEnum


class GrantStatus(IntEnum):
    """The `GNTST_*` of xen/grant_table.h: what Xen says of one grant operation."""

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
    def word(self) -> str:
        """Xen's name and its meaning, as in the header's comments."""
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


def status_word(status: int) -> str:
    """Xen's word for a grant operation's status, also for one no header names."""
    try:
        return GrantStatus(status).word
    except ValueError:
        return f"status {status}, which xen/grant_table.h does not name"


class MissingLibraryError(Exception):
    """Xen's libraries, or the extension compiled against them, are not here."""


class XenLibraryError(OSError):
    """A call into one of Xen's libraries failed.

    Args:
        call: the C function.
        subject: what it was called on: a domain, a reference, a device.
        number: the errno, captured right after the call.
        detail: what the library logged, if anything.
    """

    def __init__(self, call: str, subject: str, number: int, detail: str = "") -> None:
        """Keep call and subject for whoever can say more about them."""
        super().__init__(number, os.strerror(number))
        self.call = call
        self.subject = subject
        self.detail = detail

    def __str__(self) -> str:
        """One sentence: the call, what it was on, the errno's name and meaning."""
        number = self.errno or 0
        name = errno.errorcode.get(number, str(number))
        said = f" (the library says: {self.detail})" if self.detail else ""
        return f"{self.call} on {self.subject}: {name}, {self.strerror}{said}"


class GrantError(Exception):
    """Xen refused one grant operation, or what it mapped is not what was granted.

    Args:
        call: the operation.
        domid: the granter.
        gref: the reference.
        what: Xen's word for the status, or what is wrong with the page.
        status: the `GNTST_*` when there is one.
    """

    def __init__(
        self, call: str, domid: int, gref: int, what: str, status: int | None = None
    ) -> None:
        """Say it in one sentence, and keep its parts."""
        super().__init__(f"{call} of reference {gref} of domain {domid}: {what}")
        self.call = call
        self.domid = domid
        self.gref = gref
        self.status = status
