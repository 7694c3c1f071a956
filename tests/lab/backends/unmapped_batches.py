"""Xen's counts of the batches that dom0 has unmapped, with and without a TLB flush."""

from xenlib_cffi.errors import XenLibraryError
from xenlib_cffi.hypfs import HypFs

COUNTERS = {"flushed": "flushes", "skipped": "skipped-flushes"}


def unmapped_batches() -> dict[str, int] | None:
    """Return both counts since dom0 booted; None on stock."""
    with HypFs() as fs:
        try:
            return {key: int(fs.read(f"/gnttab/0/{name}")) for key, name in COUNTERS.items()}
        except XenLibraryError:
            return None


def grown(before: dict[str, int] | None) -> dict[str, int | None]:
    """Return by how much both counts have grown since `before`; None for each on stock."""
    now = unmapped_batches()
    return {key: before and now and now[key] - before[key] for key in COUNTERS}
