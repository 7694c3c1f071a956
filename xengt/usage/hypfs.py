"""Reads the figures that the patched hypervisor reports in hypfs below /gnttab.

Each domain with a grant table has a directory, named by its domid:

    frames, max-frames                      frames of its grant table, and their limit
    maptrack-frames, max-maptrack-frames    frames of its maptrack table, and their limit
    fast-live, slow-live                    mappings that the domain has made and not unmapped
    fast-maps, slow-maps                    mappings that the domain has made since its creation
    flushes                                 TLB flushes for batches of its unmaps
    skipped-flushes                         batches of its unmaps that gnttab=skip-flush spared one
"""

from collections.abc import Sequence
from typing import Any

from xengt.usage.document import COUNTS, FLUSHES
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
    "tlb_flushes": "flushes",
    "skipped_tlb_flushes": "skipped-flushes",
}
#: Figures that are read only for domains that have made mappings, as few have, because each figure
#: makes a scrape of the agent take longer. For the others they are given as 0: only unmaps that Xen
#: rejects can have made Xen's own value larger.
_OF_MAPPERS = FLUSHES
_OF_ALL = tuple(key for key in COUNTS if key not in _OF_MAPPERS)
_FAST_MAPS, _SLOW_MAPS = _OF_ALL.index("fast_maps"), _OF_ALL.index("slow_maps")
_SIGN_BIT = 1 << 63


class Figures:
    """Reads the figures of domains, through a handle that stays open.

    Args:
        hypfs: an open handle of libxenhypfs.

    Attributes:
        missing: the keys in the document of the figures that this hypervisor does not report.

    Raises:
        XenLibraryError: hypfs has no /gnttab (ENOENT), or Xen rejects a request.
    """

    def __init__(self, hypfs: HypFs) -> None:
        """Find out which figures there are."""
        domids = map(int, filter(str.isdecimal, hypfs.list(HYPFS_DIRECTORY)))
        domid = min(domids, default=None)  # dom0, which is not destroyed meanwhile
        listed = ENTRIES.values() if domid is None else hypfs.list(f"{HYPFS_DIRECTORY}/{domid}")
        self.missing = tuple(key for key in COUNTS if ENTRIES[key] not in listed)
        self._unused = tuple(None if key in self.missing else 0 for key in _OF_MAPPERS)
        self._of_all = HypFsNumbers(tuple(ENTRIES[key] for key in _OF_ALL))
        try:
            self._of_mappers = HypFsNumbers(tuple(ENTRIES[key] for key in _OF_MAPPERS))
        except BaseException:
            self._of_all.close()
            raise

    def close(self) -> None:
        """Close the handles."""
        self._of_mappers.close()
        self._of_all.close()

    def read(self, domid: int) -> Sequence[int | None] | None:
        """Read the figures of a domain.

        Args:
            domid: the domain.

        Returns:
            The figures in the order of `COUNTS`, those that are missing as None; None if there is
            no such domain.

        Raises:
            XenLibraryError: Xen rejects a request.
        """
        directory = f"{HYPFS_DIRECTORY}/{domid}"
        values: list[Any] = [*self._of_all.read(directory)]
        unused = values[_FAST_MAPS] == values[_SLOW_MAPS] == 0
        values += self._unused if unused else self._of_mappers.read(directory)
        if None not in values:
            return values if max(values) < _SIGN_BIT else [*map(_count, values)]
        if values.count(None) > len(self.missing):
            return None  # the domain was destroyed, perhaps during the read
        return [*map(_count, values)]


def _count(value: int | None) -> int | None:
    """Replace a negative value by 0.

    Xen sums counters that each CPU has for itself. A sum that is read while a mapping
    moves from the counter of one CPU to that of another can be negative, and appears as
    a value just below 2^64.
    """
    return 0 if value is not None and value >= _SIGN_BIT else value
