"""libxenforeignmemory: the pages and the grant table of another domain."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Self

from xenlib_cffi import device_paths
from xenlib_cffi.library import PAGE_SIZE, LibraryHandle, Pages, load

if TYPE_CHECKING:  # only the stub has names for C types
    from xenlib_cffi._xen import CXenforeignmemoryHandle

#: version 1 entries, of 8 bytes each, in one frame of a grant table
ENTRIES_PER_FRAME = PAGE_SIZE // 8


class GrantEntry(NamedTuple):
    """One version 1 grant entry (`struct grant_entry_v1`).

    Args:
        flags: `GTF_*`, including the status bits that Xen sets.
        domid: the domain that may map the page.
        frame: gfn of the granted page; its mfn if the granter is a PV domain.
    """

    flags: int
    domid: int
    frame: int


class ForeignMemory(LibraryHandle):
    """A handle of libxenforeignmemory (`xenforeignmemory_open`).

    Raises:
        MissingLibraryError: Xen's libraries cannot be loaded.
        XenLibraryError: /dev/xen/privcmd cannot be opened.
    """

    pointer: "CXenforeignmemoryHandle"

    def __init__(self) -> None:
        """Open privcmd."""
        _, lib = load()
        super().__init__(
            "xenforeignmemory_open",
            device_paths.PRIVCMD,
            lib.xenforeignmemory_open,
            lib.xenforeignmemory_close,
        )

    def map(self, domid: int, frames: Sequence[int]) -> Pages:
        """Map pages of a domain writable into contiguous pages (`xenforeignmemory_map`).

        Args:
            domid: the owner of the pages.
            frames: gfn of each page; its mfn if the owner is a PV domain.

        Raises:
            XenLibraryError: a page cannot be mapped.
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
        handle = self.pointer  # the finalizer keeps the handle open until the pages are unmapped
        unmapped_by_gc = ffi.gc(pages, lambda p: lib.xenforeignmemory_unmap(handle, p, count))
        return Pages(ffi, unmapped_by_gc, count)

    def grant_table(self, domid: int, frames: int, *, writable: bool = True) -> "GrantTable":
        """Map the grant table of a domain (`xenforeignmemory_map_resource`).

        Xen grows the table if it has fewer frames than are mapped.

        Args:
            domid: the owner of the table.
            frames: number of frames to map, from the first.
            writable: map it writable, to change entries.

        Raises:
            XenLibraryError: there is no such domain, its limit is less than `frames`, or the
                entries of its table are not version 1.
        """
        return GrantTable(self, domid, frames, writable)


class GrantTable:
    """The mapped frames of a version 1 grant table.

    They are unmapped by `with`, by `close` or, at the latest, by the garbage collector.

    Args:
        memory: the handle to map them with.
        domid: the owner of the table.
        frames: number of frames, from the first.
        writable: map them writable.

    Attributes:
        size: number of entries.
    """

    def __init__(self, memory: ForeignMemory, domid: int, frames: int, writable: bool) -> None:
        """Map the frames."""
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
        handle = memory.pointer  # the finalizer keeps the handle open until the table is unmapped
        self._ffi, self._lib = ffi, lib
        self._resource = ffi.gc(resource, lambda r: lib.xenforeignmemory_unmap_resource(handle, r))
        self._entries = ffi.cast("grant_entry_v1_t *", address[0])
        self.size = frames * ENTRIES_PER_FRAME

    def __getitem__(self, gref: int) -> GrantEntry:
        """Return the current entry of a reference."""
        entry = self._entries[self._checked(gref)]
        return GrantEntry(entry.flags, entry.domid, entry.frame)

    def permit(self, gref: int, domid: int, frame: int, *, readonly: bool = False) -> None:
        """Grant a page.

        Args:
            gref: the reference.
            domid: the domain that may map the page.
            frame: gfn of the page; its mfn if the granter is a PV domain.
            readonly: grant it read-only.
        """
        entry = self._entries[self._checked(gref)]
        entry.domid = domid
        entry.frame = frame
        # xen/grant_table.h requires that the flags are written last.
        entry.flags = self._lib.GTF_permit_access | (self._lib.GTF_readonly if readonly else 0)

    def revoke(self, gref: int) -> None:
        """Clear the flags of an entry; existing mappings of it remain."""
        self._entries[self._checked(gref)].flags = 0

    def in_use(self, gref: int) -> bool:
        """Return whether the reference is mapped (`GTF_reading` or `GTF_writing` is set)."""
        flags = self._entries[self._checked(gref)].flags
        return bool(flags & (self._lib.GTF_reading | self._lib.GTF_writing))

    def _checked(self, gref: int) -> int:
        if not 0 <= gref < self.size:
            raise IndexError(gref)
        return gref

    def close(self) -> None:
        """Unmap the table; has no effect if it is unmapped already."""
        self._ffi.release(self._resource)

    def __enter__(self) -> Self:
        """Return the table, which is mapped already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Unmap the table."""
        self.close()
