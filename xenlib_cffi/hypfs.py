"""libxenhypfs: the hypervisor's own file system of parameters and state."""

from xenlib_cffi.library import Handle


class HypFs(Handle):
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
