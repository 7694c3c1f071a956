"""Counters of a domain's mappings, kept by the patched hypervisor."""

from xenlib_cffi.errors import XenLibraryError
from xenlib_cffi.hypfs import HypFs


def read_counters(domid: int) -> dict[str, int] | None:
    """Return a domain's counters in hypfs; None on stock Xen and for an unknown domain."""
    with HypFs() as fs:
        try:
            names = fs.list(f"/gnttab/{domid}")
        except XenLibraryError:
            return None
        return {name: int(fs.read(f"/gnttab/{domid}/{name}")) for name in names}
