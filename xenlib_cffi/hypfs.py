"""libxenhypfs: the hypervisor's own file system of parameters and state."""

from collections.abc import Sequence

from xenlib_cffi import device_paths
from xenlib_cffi.library import LibraryHandle


class HypFs(LibraryHandle):
    """A handle of libxenhypfs (`xenhypfs_open`).

    Raises:
        MissingLibraryError: Xen's libraries are not here.
        XenLibraryError: privcmd cannot be opened, or this Xen has no hypfs.
    """

    def __init__(self) -> None:
        """Open hypfs."""
        super().__init__("xenhypfs_open", "hypfs", "xenhypfs_close")

    def read(self, path: str) -> str:
        """An entry's contents as text (`xenhypfs_read`).

        Args:
            path: absolute, such as "/params/gnttab_max_maptrack_frames".

        Raises:
            XenLibraryError: no such entry, or a directory.
        """
        text = self.lib.xenhypfs_read(self.pointer, path.encode())
        if not text:
            raise self.failure("xenhypfs_read", path)
        try:
            return str(self.ffi.string(text).decode(errors="replace"))
        finally:
            self.lib.free(text)

    def list(self, path: str) -> dict[str, bool]:
        """A directory's entries, and whether each is a directory (`xenhypfs_readdir`).

        Raises:
            XenLibraryError: no such directory.
        """
        count = self.ffi.new("unsigned int *")
        entries = self.lib.xenhypfs_readdir(self.pointer, path.encode(), count)
        if not entries:
            raise self.failure("xenhypfs_readdir", path)
        try:
            return {
                self.ffi.string(entries[i].name).decode(errors="replace"): entries[i].type
                == self.lib.xenhypfs_type_dir
                for i in range(count[0])
            }
        finally:
            self.lib.free(entries)

    def write(self, path: str, value: str) -> None:
        """Set a writable entry from text (`xenhypfs_write`).

        Raises:
            XenLibraryError: no such entry, not writable, or not a value for it.
        """
        self.check(
            self.lib.xenhypfs_write(self.pointer, path.encode(), value.encode()),
            "xenhypfs_write",
            path,
        )


class HypFsNumbers(LibraryHandle):
    """Unsigned entries that many directories have, over one buffer (csrc/hypfs_numbers.h).

    Args:
        names: of the entries, at most `HYPFS_NUMBERS_MAX` (31).

    Raises:
        MissingLibraryError: Xen's libraries are not here.
        XenLibraryError: privcmd cannot be opened.
    """

    def __init__(self, names: Sequence[str]) -> None:
        """Open privcmd, with a page that a hypercall may use."""
        super().__init__("xencall_open", device_paths.PRIVCMD, "xencall_close")
        if len(names) > self.lib.HYPFS_NUMBERS_MAX:
            raise ValueError(len(names))
        page = self.lib.xencall_alloc_buffer_pages(self.pointer, 1)
        if not page:
            error = self.failure("xencall_alloc_buffer_pages", "1 page")
            super().close()
            raise error
        call, free = self.pointer, self.lib.xencall_free_buffer_pages
        self._page = self.ffi.gc(page, lambda p: free(call, p, 1))
        self._texts = [self.ffi.new("char[]", name.encode()) for name in names]
        self._names = self.ffi.new("char *[]", self._texts)
        self._values = self.ffi.new("uint64_t[]", len(names))

    def close(self) -> None:
        """Give the page back and close the device."""
        self.ffi.release(self._page)
        super().close()

    def read(self, directory: str) -> Sequence[int | None]:
        """The entries of a directory, in the order of their names (`XEN_HYPFS_OP_read`).

        Args:
            directory: absolute, such as "/gnttab/0".

        Returns:
            64 bits each; None for one that is not there or is no unsigned number.

        Raises:
            XenLibraryError: Xen refuses for another reason.
        """
        names, values, count = self._names, self._values, len(self._texts)
        found = self.check(
            self.lib.hypfs_numbers(
                self.pointer, self._page, directory.encode(), names, count, values
            ),
            "XEN_HYPFS_OP_read",
            directory,
        )
        read: list[int] = self.ffi.unpack(values, count)
        if found == (1 << count) - 1:
            return read
        return [value if found & 1 << index else None for index, value in enumerate(read)]
