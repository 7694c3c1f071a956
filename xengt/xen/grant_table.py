"""Sizes of grant and maptrack tables, which Xen's headers define and no call reports."""

from xenlib_cffi import foreignmemory
from xenlib_cffi.library import PAGE_SIZE

#: Grant entries in one frame by version of the table (`SHGNT_PER_PAGE_V1`, `SHGNT_PER_PAGE_V2`);
#: `grant_entry_v2_t` has 16 bytes.
ENTRIES_PER_FRAME = {1: foreignmemory.ENTRIES_PER_FRAME, 2: PAGE_SIZE // 16}
#: Maptrack entries in one frame (`MAPTRACK_PER_PAGE`): `struct grant_mapping` has 16 bytes.
HANDLES_PER_FRAME = PAGE_SIZE // 16
#: The references below are reserved for the toolstack (`GNTTAB_NR_RESERVED_ENTRIES`).
FIRST_GREF = 8
