"""libxenhypfs: hypfs, the file system in which Xen presents its parameters and state."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xenlib_cffi import device_paths
from xenlib_cffi.library import LibraryHandle, load

if TYPE_CHECKING:  # only the stub has names for C types
    from xenlib_cffi._xen import CXencallHandle, CXenhypfsHandle


class HypFs(LibraryHandle):
    """A handle of libxenhypfs (`xenhypfs_open`).

    Raises:
        MissingLibraryError: Xen's libraries cannot be loaded.
        XenLibraryError: privcmd cannot be opened, or Xen was built without hypfs.
    """

    pointer: "CXenhypfsHandle"

    def __init__(self) -> None:
        """Open hypfs."""
        _, lib = load()
        super().__init__("xenhypfs_open", "hypfs", lib.xenhypfs_open, lib.xenhypfs_close)

    def read(self, path: str) -> str:
        """Read an entry as text (`xenhypfs_read`).

        Args:
            path: absolute path, such as "/params/gnttab_max_maptrack_frames".

        Raises:
            XenLibraryError: there is no such entry, or it is a directory.
        """
        text = self.lib.xenhypfs_read(self.pointer, path.encode())
        if not text:
            raise self.failure("xenhypfs_read", path)
        try:
            return self.ffi.string(text).decode(errors="replace")
        finally:
            self.lib.free(text)

    def list(self, path: str) -> dict[str, bool]:
        """List a directory (`xenhypfs_readdir`).

        Args:
            path: absolute path.

        Returns:
            For each name, whether it is a directory.

        Raises:
            XenLibraryError: there is no such directory.
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
        """Write an entry (`xenhypfs_write`).

        Args:
            path: absolute path.
            value: the value as text.

        Raises:
            XenLibraryError: there is no such entry, it is not writable, or the value is invalid.
        """
        self.check(
            self.lib.xenhypfs_write(self.pointer, path.encode(), value.encode()),
            "xenhypfs_write",
            path,
        )


class HypFsNumbers(LibraryHandle):
    """Reads the same unsigned entries of several directories (csrc/hypfs_numbers.h).

    Args:
        names: names of the entries, at most `HYPFS_NUMBERS_MAX`.

    Raises:
        MissingLibraryError: Xen's libraries cannot be loaded.
        XenLibraryError: /dev/xen/privcmd cannot be opened, or there is no memory for the buffer.
        ValueError: there are too many names.
    """

    pointer: "CXencallHandle"

    def __init__(self, names: Sequence[str]) -> None:
        """Open privcmd and allocate a hypercall-safe page."""
        _, lib = load()
        if len(names) > lib.HYPFS_NUMBERS_MAX:
            raise ValueError(
                f"{len(names)} hypfs entries cannot be read at once: "
                f"the limit is {lib.HYPFS_NUMBERS_MAX}"
            )
        super().__init__("xencall_open", device_paths.PRIVCMD, lib.xencall_open, lib.xencall_close)
        page = lib.xencall_alloc_buffer_pages(self.pointer, 1)
        if not page:
            error = self.failure("xencall_alloc_buffer_pages", "1 page")
            super().close()
            raise error
        call = self.pointer  # the finalizer keeps the handle open until the page is freed
        self._page = self.ffi.gc(page, lambda p: lib.xencall_free_buffer_pages(call, p, 1))
        self._c_names = [self.ffi.new("char[]", name.encode()) for name in names]
        self._names = self.ffi.new("char *[]", self._c_names)  # does not own the strings
        self._values = self.ffi.new("uint64_t[]", len(names))

    def close(self) -> None:
        """Free the page and close privcmd."""
        self.ffi.release(self._page)
        super().close()

    def read(self, directory: str) -> Sequence[int | None]:
        """Read the entries of a directory (`XEN_HYPFS_OP_read`, in one multicall).

        Args:
            directory: absolute path, such as "/gnttab/0".

        Returns:
            The values, in the order of the names; None for an entry that does not exist or that is
            not an unsigned number.

        Raises:
            XenLibraryError: Xen rejects the call for another reason.
        """
        names, values, count = self._names, self._values, len(self._c_names)
        found = self.check(
            self.lib.hypfs_numbers(
                self.pointer, self._page, directory.encode(), names, count, values
            ),
            "XEN_HYPFS_OP_read",
            directory,
        )
        numbers = self.ffi.unpack(values, count)
        if found == (1 << count) - 1:
            return numbers
        return [number if found & 1 << index else None for index, number in enumerate(numbers)]
