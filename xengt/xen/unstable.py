"""Calls of Xen's unstable interfaces, which a libxenctrl of another version cannot make.

Domctl (domains) and sysctl (the host, Xen's console, debug keys) differ between versions of Xen.
Grant operations, event channels, hypfs, XenStore and the version itself do not.
"""

from collections.abc import Callable
from typing import TypeVar

from xenlib_cffi.errors import XenLibraryError

T = TypeVar("T")


def unless_other_version(request: Callable[[], T]) -> T | None:
    """Return the result of a call; None if Xen has another version of the interface.

    Args:
        request: makes the call.

    Raises:
        XenLibraryError: the call failed for another reason.
    """
    try:
        return request()
    except XenLibraryError as error:
        if error.is_other_version:
            return None
        raise
