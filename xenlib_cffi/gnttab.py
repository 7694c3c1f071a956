"""libxengnttab: mapping grants through gntdev, and granting pages through gntalloc."""

from collections.abc import Sequence

from xenlib_cffi import device_paths
from xenlib_cffi.library import LibraryHandle, Pages


class GrantMapper(LibraryHandle):
    """The mapper's side (`xengnttab_open`), on /dev/xen/gntdev.

    Raises:
        MissingLibraryError: Xen's libraries are not here.
        XenLibraryError: gntdev cannot be opened.
    """

    def __init__(self) -> None:
        """Open gntdev."""
        super().__init__("xengnttab_open", device_paths.GNTDEV, "xengnttab_close")

    def map(self, references: Sequence[tuple[int, int]], *, readonly: bool = False) -> Pages:
        """Map references, one page each, contiguously (`xengnttab_map_grant_refs`).

        Releasing the pages is `xengnttab_unmap`; Linux asks Xen some time later.

        Args:
            references: (domid, gref) each.
            readonly: map with PROT_READ alone.

        Raises:
            XenLibraryError: the kernel or Xen refused one of them; gntdev does
                not say which.
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
        # The finalizer keeps the handle open for as long as it may be needed.
        handle, unmap = self.pointer, lib.xengnttab_unmap
        return Pages(ffi, ffi.gc(pages, lambda p: unmap(handle, p, count)), count)


class GrantShare(LibraryHandle):
    """The granter's side (`xengntshr_open`), on /dev/xen/gntalloc.

    Raises:
        MissingLibraryError: Xen's libraries are not here.
        XenLibraryError: gntalloc cannot be opened.
    """

    def __init__(self) -> None:
        """Open gntalloc."""
        super().__init__("xengntshr_open", device_paths.GNTALLOC, "xengntshr_close")

    def share(self, domid: int, count: int, *, writable: bool = True) -> "SharedPages":
        """Allocate pages and grant them to a domain (`xengntshr_share_pages`).

        Args:
            domid: who may map them.
            count: pages.
            writable: whether it may write to them.

        Raises:
            XenLibraryError: ENOSPC when gntalloc's limit is reached.
        """
        ffi, lib = self.ffi, self.lib
        grefs = ffi.new("uint32_t[]", count)
        pages = lib.xengntshr_share_pages(self.pointer, domid, count, grefs, int(writable))
        if not pages:
            raise self.failure("xengntshr_share_pages", f"{count} pages for domain {domid}")
        handle, unshare = self.pointer, lib.xengntshr_unshare
        shared = SharedPages(ffi, ffi.gc(pages, lambda p: unshare(handle, p, count)), count)
        shared.references = list(grefs)
        return shared


class SharedPages(Pages):
    """Pages granted by `GrantShare.share`; releasing them revokes the grants.

    Attributes:
        references: the gref of each page, in order.
    """

    references: list[int]
