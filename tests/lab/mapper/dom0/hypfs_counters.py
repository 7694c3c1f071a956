"""What the patched hypervisor counts of a domain's mappings."""

from xenlib_cffi.errors import XenLibraryError
from xenlib_cffi.hypfs import HypFs


def read_counters(domid: int) -> dict[str, int] | None:
    """The counters in hypfs of a domain; None where there are none: on stock, or no such domain."""
    with HypFs() as fs:
        try:
            names = fs.list(f"/gnttab/{domid}")
        except XenLibraryError:
            return None
        return {name: int(fs.read(f"/gnttab/{domid}/{name}")) for name in names}
