"""libxenforeignmemory: the pages and the grant table of another domain."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Self

from xenlib_cffi import device_paths
from xenlib_cffi.library import PAGE_SIZE, LibraryHandle, Pages, load

if TYPE_CHECKING:  # only the stub has names for C types
    from xenlib_cffi._histogram import CData
    from xenlib_cffi._xen import CXenforeignmemoryHandle, CXenforeignmemoryResourceHandle

#: version 1 entries, of 8 bytes each, in one frame of a grant table
ENTRIES_PER_FRAME = PAGE_SIZE // 8
#: 2-byte words (`grant_status_t`), one for each version 2 entry, in a status frame
STATUS_PER_FRAME = PAGE_SIZE // 2


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
        """Map a version 1 grant table of a domain (`xenforeignmemory_map_resource`).

        Xen grows the table if it has fewer frames than are mapped. It maps the frames of a version
        2 table as well, whose entries this class misreads: see `Ctrl.grant_version`.

        Args:
            domid: the owner of the table.
            frames: number of frames to map, from the first.
            writable: map it writable, to change entries.

        Raises:
            XenLibraryError: there is no such domain, or its limit is less than `frames`.
        """
        return GrantTable(self, domid, frames, writable)

    def grant_status(self, domid: int, frames: int) -> "GrantStatusFrames":
        """Map the status frames of a version 2 grant table (`xenforeignmemory_map_resource`).

        Args:
            domid: the owner of the table.
            frames: number of status frames to map, from the first, `STATUS_PER_FRAME` entries each.

        Raises:
            XenLibraryError: there is no such domain, EINVAL if its table has version 1 or if its
                limit is too low for `frames`.
        """
        return GrantStatusFrames(self, domid, frames)

    def map_resource(
        self, domid: int, resource: int, frames: int, protection: int
    ) -> "tuple[CXenforeignmemoryResourceHandle, CData]":
        """Map frames of a grant table; the classes below read them.

        Args:
            domid: the owner of the table.
            resource: `XENMEM_resource_grant_table_id_*`.
            frames: number of frames, from the first.
            protection: `PROT_*`.

        Returns:
            The resource, whose finalizer unmaps it, and its address (`void *`).

        Raises:
            XenLibraryError: Xen or Linux rejects the mapping.
        """
        ffi, lib = self.ffi, self.lib
        address = ffi.new("void **")
        mapped = lib.xenforeignmemory_map_resource(
            self.pointer,
            domid,
            lib.XENMEM_resource_grant_table,
            resource,
            0,
            frames,
            address,
            protection,
            0,
        )
        if not mapped:
            status = resource == lib.XENMEM_resource_grant_table_id_status
            raise self.failure(
                "xenforeignmemory_map_resource",
                f"the {frames} {'status' if status else 'grant'} frames of domain {domid}",
            )
        handle = self.pointer  # the finalizer keeps the handle open until the frames are unmapped
        unmapped_by_gc = ffi.gc(mapped, lambda r: lib.xenforeignmemory_unmap_resource(handle, r))
        return unmapped_by_gc, address[0]


class MappedFrames:
    """Mapped frames of a grant table.

    They are unmapped by `with`, by `close` or, at the latest, by the garbage collector.

    Args:
        memory: the handle to map them with.
        domid: the owner of the table.
        resource: `XENMEM_resource_grant_table_id_*`.
        frames: number of frames, from the first.
        protection: `PROT_*`.
        entries: number of entries in a frame.

    Attributes:
        size: number of entries.
    """

    def __init__(
        self,
        memory: ForeignMemory,
        domid: int,
        resource: int,
        frames: int,
        protection: int,
        entries: int,
    ) -> None:
        """Map the frames."""
        self._ffi, self._lib = memory.ffi, memory.lib
        self._resource, self._address = memory.map_resource(domid, resource, frames, protection)
        self.size = frames * entries

    def _in_use(self, flags: int) -> bool:
        return bool(flags & (self._lib.GTF_reading | self._lib.GTF_writing))

    def _checked(self, gref: int) -> int:
        if not 0 <= gref < self.size:
            raise IndexError(gref)
        return gref

    def close(self) -> None:
        """Unmap the frames; has no effect if they are unmapped already."""
        self._ffi.release(self._resource)

    def __enter__(self) -> Self:
        """Return the frames, which are mapped already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Unmap the frames."""
        self.close()


class GrantTable(MappedFrames):
    """The mapped frames of a version 1 grant table.

    Args:
        memory: the handle to map them with.
        domid: the owner of the table.
        frames: number of frames, from the first.
        writable: map them writable.
    """

    def __init__(self, memory: ForeignMemory, domid: int, frames: int, writable: bool) -> None:
        """Map the frames."""
        lib = memory.lib
        super().__init__(
            memory,
            domid,
            lib.XENMEM_resource_grant_table_id_shared,
            frames,
            lib.PROT_READ | (lib.PROT_WRITE if writable else 0),
            ENTRIES_PER_FRAME,
        )
        self._entries = self._ffi.cast("grant_entry_v1_t *", self._address)

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
        return self._in_use(self._entries[self._checked(gref)].flags)


class GrantStatusFrames(MappedFrames):
    """The mapped status frames of a version 2 grant table, in which Xen marks mapped entries.

    Args:
        memory: the handle to map them with.
        domid: the owner of the table.
        frames: number of status frames, from the first.
    """

    def __init__(self, memory: ForeignMemory, domid: int, frames: int) -> None:
        """Map the frames read-only."""
        lib = memory.lib
        super().__init__(
            memory,
            domid,
            lib.XENMEM_resource_grant_table_id_status,
            frames,
            lib.PROT_READ,
            STATUS_PER_FRAME,
        )
        self._words = self._ffi.cast("uint16_t *", self._address)

    def in_use(self, gref: int) -> bool:
        """Return whether the reference is mapped (`GTF_reading` or `GTF_writing` is set)."""
        return self._in_use(self._words[self._checked(gref)])
