"""libxengnttab: mapping grants through gntdev, and granting pages through gntalloc."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xenlib_cffi import device_paths
from xenlib_cffi.library import LibraryHandle, Pages, load

if TYPE_CHECKING:  # only the stub has names for C types
    from xenlib_cffi._xen import CXengntshrHandle, CXengnttabHandle


class GrantMapper(LibraryHandle):
    """A handle of libxengnttab for mapping references (`xengnttab_open`).

    Raises:
        MissingLibraryError: Xen's libraries cannot be loaded.
        XenLibraryError: /dev/xen/gntdev cannot be opened.
    """

    pointer: "CXengnttabHandle"

    def __init__(self) -> None:
        """Open gntdev."""
        _, lib = load()
        super().__init__(
            "xengnttab_open", device_paths.GNTDEV, lib.xengnttab_open, lib.xengnttab_close
        )

    def map(self, references: Sequence[tuple[int, int]], *, readonly: bool = False) -> Pages:
        """Map references into contiguous pages (`xengnttab_map_grant_refs`).

        Releasing the pages calls `xengnttab_unmap`; since Linux 5.19, the kernel issues the
        hypercall some time after that.

        Args:
            references: (domid, gref) of each page.
            readonly: map without PROT_WRITE.

        Raises:
            XenLibraryError: the kernel or Xen rejected a reference; gntdev does not report which.
        """
        ffi, lib, count = self.ffi, self.lib, len(references)
        domids = ffi.new("uint32_t[]", [domid for domid, _ in references])
        grefs = ffi.new("uint32_t[]", [gref for _, gref in references])
        prot = lib.PROT_READ | (0 if readonly else lib.PROT_WRITE)
        pages = lib.xengnttab_map_grant_refs(self.pointer, count, domids, grefs, prot)
        if not pages:
            domid, gref = references[0]
            raise self.failure(
                "xengnttab_map_grant_refs",
                f"{count} references, the first {gref} of domain {domid}",
            )
        handle = self.pointer  # the finalizer keeps the handle open until the pages are unmapped
        return Pages(ffi, ffi.gc(pages, lambda p: lib.xengnttab_unmap(handle, p, count)), count)


class GrantShare(LibraryHandle):
    """A handle of libxengnttab for granting pages (`xengntshr_open`).

    Raises:
        MissingLibraryError: Xen's libraries cannot be loaded.
        XenLibraryError: /dev/xen/gntalloc cannot be opened.
    """

    pointer: "CXengntshrHandle"

    def __init__(self) -> None:
        """Open gntalloc."""
        _, lib = load()
        super().__init__(
            "xengntshr_open", device_paths.GNTALLOC, lib.xengntshr_open, lib.xengntshr_close
        )

    def share(self, domid: int, count: int, *, writable: bool = True) -> "SharedPages":
        """Allocate pages and grant them to a domain (`xengntshr_share_pages`).

        Args:
            domid: the domain that may map the pages.
            count: number of pages.
            writable: whether the domain may map them writable.

        Raises:
            XenLibraryError: ENOSPC if the limit of gntalloc is reached.
        """
        ffi, lib = self.ffi, self.lib
        grefs = ffi.new("uint32_t[]", count)
        pages = lib.xengntshr_share_pages(self.pointer, domid, count, grefs, int(writable))
        if not pages:
            raise self.failure("xengntshr_share_pages", f"{count} pages for domain {domid}")
        handle = self.pointer  # the finalizer keeps the handle open until the grants are revoked
        shared = SharedPages(
            ffi, ffi.gc(pages, lambda p: lib.xengntshr_unshare(handle, p, count)), count
        )
        shared.references = list(grefs)
        return shared


class SharedPages(Pages):
    """Pages granted by `GrantShare.share`; releasing them revokes the grants.

    Attributes:
        references: the gref of each page, in order.
    """

    references: list[int]
