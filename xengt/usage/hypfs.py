"""Reads the figures that the patched hypervisor reports in hypfs below /gnttab.

Each domain with a grant table has a directory, named by its domid:

    frames, max-frames                      frames of its grant table, and their limit
    maptrack-frames, max-maptrack-frames    frames of its maptrack table, and their limit
    fast-live, slow-live                    mappings that the domain has made and not unmapped
    fast-maps, slow-maps                    mappings that the domain has made since its creation
"""

from collections.abc import Sequence
from typing import Any

from xengt.xen.maptrack import HYPFS_DIRECTORY
from xenlib_cffi.hypfs import HypFs, HypFsNumbers

#: names of the figures in hypfs, by their keys in the document
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
_SIGN_BIT = 1 << 63


def counts(hypfs: HypFs) -> dict[int, dict[str, Any]]:
    """Read the figures of all domains, except those that are destroyed meanwhile.

    Args:
        hypfs: an open handle of libxenhypfs.

    Returns:
        The figures (int) by their keys in the document, by domid. All domains have the
        same keys: those that this hypervisor reports.

    Raises:
        XenLibraryError: hypfs has no /gnttab (ENOENT), or Xen rejects a request.
    """
    domids = sorted(
        int(name) for name in hypfs.list(HYPFS_DIRECTORY) if name.isascii() and name.isdigit()
    )
    listed = hypfs.list(f"{HYPFS_DIRECTORY}/{domids[0]}") if domids else {}
    reported = {key: name for key, name in ENTRIES.items() if name in listed}
    figures = {}
    with HypFsNumbers(tuple(reported.values())) as numbers:
        for domid in domids:
            values = numbers.read(f"{HYPFS_DIRECTORY}/{domid}")
            if None not in values:  # else the domain was destroyed, perhaps during the read
                figures[domid] = dict(zip(reported, _counts(values), strict=True))
    return figures


def _counts(values: Sequence[Any]) -> Sequence[int]:
    """Replace negative values by 0.

    Xen sums counters that each CPU has for itself. A sum that is read while a mapping
    moves from the counter of one CPU to that of another can be negative, and appears as
    a value just below 2^64.
    """
    if max(values) < _SIGN_BIT:
        return values
    return [0 if value >= _SIGN_BIT else value for value in values]
