"""The patched hypervisor's own account, in hypfs below /gnttab.

One directory a domain that has a grant table, named by its domid:

    frames, max-frames                      its grant table's
    maptrack-frames, max-maptrack-frames    its maptrack table's
    fast-live, fast-maps                    mappings the domain made, now and ever
    slow-live, slow-maps
"""

from collections.abc import Sequence
from typing import Any

from xengt.xen.maptrack import TREE
from xenlib_cffi.hypfs import HypFs, HypFsNumbers

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
_SIGN = 1 << 63


def counts(hypfs: HypFs) -> dict[int, dict[str, Any]]:
    """Read every domain's figures; one that goes meanwhile is left out.

    Args:
        hypfs: open.

    Returns:
        By domid, the figures this hypervisor has (int), by their key in the document:
        the same ones of every domain.

    Raises:
        XenLibraryError: there is no /gnttab (ENOENT), or Xen refuses.
    """
    domids = sorted(int(name) for name in hypfs.list(TREE) if name.isascii() and name.isdigit())
    there = hypfs.list(f"{TREE}/{domids[0]}") if domids else {}
    known = {key: name for key, name in ENTRIES.items() if name in there}
    found = {}
    with HypFsNumbers(tuple(known.values())) as numbers:
        for domid in domids:
            values = numbers.read(f"{TREE}/{domid}")
            if None not in values:  # else it has gone, maybe half-way
                found[domid] = dict(zip(known, _counts(values), strict=True))
    return found


def _counts(values: Sequence[Any]) -> Sequence[int]:
    """Make counts of what is read: they are never negative.

    Xen sums what its CPUs count each for itself. A sum taken while a mapping
    goes from one CPU's count to another's can be below zero for that moment,
    and is shown as 2^64 less a few.
    """
    if max(values) < _SIGN:
        return values
    return [0 if value >= _SIGN else value for value in values]
