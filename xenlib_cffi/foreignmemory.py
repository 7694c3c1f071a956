"""libxenforeignmemory: another domain's pages, and its grant table."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

from xenlib_cffi import device_paths
from xenlib_cffi.library import PAGE_SIZE, LibraryHandle, Pages

#: version 1 entries in one frame of a grant table; `grant_entry_v1_t` has 8 bytes
ENTRIES_A_FRAME = PAGE_SIZE // 8


class GrantEntry(NamedTuple):
    """One version 1 grant entry (`struct grant_entry_v1`).

    Args:
        flags: `GTF_*`, Xen's status bits among them.
        domid: who may map the page.
        frame: the gfn granted; on a PV domain the mfn.
    """

    flags: int
    domid: int
    frame: int


class ForeignMemory(LibraryHandle):
    """A handle of libxenforeignmemory (`xenforeignmemory_open`).

    Raises:
        MissingLibraryError: Xen's libraries are not here.
        XenLibraryError: privcmd cannot be opened.
    """

    def __init__(self) -> None:
        """Open privcmd."""
        super().__init__("xenforeignmemory_open", device_paths.PRIVCMD, "xenforeignmemory_close")

    def map(self, domid: int, frames: Sequence[int]) -> Pages:
        """Map pages of a domain, writable and contiguous (`xenforeignmemory_map`).

        Args:
            domid: whose pages.
            frames: gfns; mfns on a PV domain.

        Raises:
            XenLibraryError: one of them cannot be mapped.
        """
        ffi, lib, count = self.ffi, self.lib, len(frames)
        pages = lib.xenforeignmemory_map(
            self.pointer,
            domid,
            lib.PROT_READ | lib.PROT_WRITE,
            count,
            ffi.new("xen_pfn_t[]", list(frames)),
            ffi.NULL,
        )
        if not pages:
            raise self.failure("xenforeignmemory_map", f"{count} pages of domain {domid}")
        handle, unmap = self.pointer, lib.xenforeignmemory_unmap
        return Pages(ffi, ffi.gc(pages, lambda p: unmap(handle, p, count)), count)

    def grant_table(self, domid: int, frames: int, *, writable: bool = True) -> "GrantTable":
        """Map a domain's grant table (`xenforeignmemory_map_resource`).

        Mapping frames the table does not have yet makes Xen grow it.

        Args:
            domid: whose table.
            frames: how many of its frames, from the first.
            writable: map it to write entries, not only to read them.

        Raises:
            XenLibraryError: no such domain, more frames than its limit, or a
                table whose entries are not version 1.
        """
        return GrantTable(self, domid, frames, writable)


class GrantTable:
    """The shared frames of a version 1 grant table; unmapped by `with` or the collector."""

    def __init__(self, memory: ForeignMemory, domid: int, frames: int, writable: bool) -> None:
        """Map them as a resource; the finalizer keeps the library's handle open."""
        ffi, lib = memory.ffi, memory.lib
        address = ffi.new("void **")
        resource = lib.xenforeignmemory_map_resource(
            memory.pointer,
            domid,
            lib.XENMEM_resource_grant_table,
            lib.XENMEM_resource_grant_table_id_shared,
            0,
            frames,
            address,
            lib.PROT_READ | (lib.PROT_WRITE if writable else 0),
            0,
        )
        if not resource:
            raise memory.failure(
                "xenforeignmemory_map_resource", f"the {frames} grant frames of domain {domid}"
            )
        handle, unmap = memory.pointer, lib.xenforeignmemory_unmap_resource
        self._ffi, self._lib = ffi, lib
        self._resource = ffi.gc(resource, lambda r: unmap(handle, r))
        self._entries: Any = ffi.cast("grant_entry_v1_t *", address[0])
        self.size = frames * ENTRIES_A_FRAME

    def __getitem__(self, gref: int) -> GrantEntry:
        """The entry of a reference as it is now."""
        entry = self._entries[self._checked(gref)]
        return GrantEntry(entry.flags, entry.domid, entry.frame)

    def permit(self, gref: int, domid: int, frame: int, *, readonly: bool = False) -> None:
        """Grant a page: the flags last, as xen/grant_table.h asks.

        Args:
            gref: the reference to write.
            domid: who may map it.
            frame: the gfn granted.
            readonly: for reading alone.
        """
        entry = self._entries[self._checked(gref)]
        entry.domid = domid
        entry.frame = frame
        entry.flags = self._lib.GTF_permit_access | (self._lib.GTF_readonly if readonly else 0)

    def revoke(self, gref: int) -> None:
        """Clear an entry's flags; one that is mapped stays mapped."""
        self._entries[self._checked(gref)].flags = 0

    def in_use(self, gref: int) -> bool:
        """Whether Xen says the reference is mapped (`GTF_reading`, `GTF_writing`)."""
        flags = self._entries[self._checked(gref)].flags
        return bool(flags & (self._lib.GTF_reading | self._lib.GTF_writing))

    def _checked(self, gref: int) -> int:
        if not 0 <= gref < self.size:
            raise IndexError(gref)
        return gref

    def close(self) -> None:
        """Unmap it now; a second call does nothing."""
        self._ffi.release(self._resource)

    def __enter__(self) -> Self:
        """Itself: it is mapped already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Unmap it, whatever happened."""
        self.close()
