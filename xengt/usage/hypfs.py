"""The patched hypervisor's own account, in hypfs below /gnttab.

One directory a domain that has a grant table, named by its domid:

    frames, max-frames                      its grant table's
    maptrack-frames, max-maptrack-frames    its maptrack table's
    fast-live, fast-maps                    mappings the domain made, now and ever
    slow-live, slow-maps
"""

import errno
from typing import Any

from xengt.maptrack import TREE
from xenlib_cffi.errors import XenLibraryError
from xenlib_cffi.hypfs import HypFs

ENTRIES = {
    "grant_frames": "frames",
    "max_grant_frames": "max-frames",
    "maptrack_frames": "maptrack-frames",
    "max_maptrack_frames": "max-maptrack-frames",
    "fast_live": "fast-live",
    "fast_maps": "fast-maps",
    "slow_live": "slow-live",
    "slow_maps": "slow-maps",
}
_GONE = {errno.ENOENT, errno.ESRCH}
_SIGN = 1 << 63


def counts(hypfs: HypFs) -> dict[int, dict[str, Any]]:
    """Read every domain's figures; one that goes meanwhile is left out.

    Args:
        hypfs: open.

    Returns:
        By domid, the figures this hypervisor has (int), by their key in the document.

    Raises:
        XenLibraryError: there is no /gnttab (ENOENT), or Xen refuses.
    """
    domids = sorted(int(name) for name in hypfs.list(TREE) if name.isascii() and name.isdigit())
    found = {}
    for domid in domids:
        try:
            found[domid] = _of(hypfs, f"{TREE}/{domid}")
        except XenLibraryError as error:
            if error.errno not in _GONE:
                raise
    return found


def _of(hypfs: HypFs, directory: str) -> dict[str, Any]:
    names = hypfs.list(directory)
    found = {
        key: _count(hypfs.read(f"{directory}/{name}"))
        for key, name in ENTRIES.items()
        if name in names
    }
    return {key: value for key, value in found.items() if value is not None}


def _count(text: str) -> int | None:
    """Read a count of 64 bits, never negative; None where it is no number.

    Xen sums what its CPUs count each for itself. A sum taken while a mapping
    goes from one CPU's count to another's can be below zero for that moment,
    and hypfs may show that as 2^64 less a few.
    """
    try:
        value = int(text)
    except ValueError:
        return None
    return 0 if value < 0 or value >= _SIGN else value
