"""Stand-ins for handles of Xen's libraries, which work only on Xen."""

import errno

from xenlib_cffi.errors import XenLibraryError


class Handle:
    """A handle that is only a context manager; tests add the methods they need."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


class Yielding(Handle):
    """A handle whose context yields a given object."""

    def __init__(self, given):
        self.given = given

    def __enter__(self):
        return self.given


class Limits(Handle):
    """A stand-in for hypfs that returns the current limits of grant tables, or raises an error.

    Attributes:
        answer: the value of each parameter, or an exception that is raised.
        dom0: dom0's maptrack limit, which only the patched hypervisor reports; None: stock Xen.
    """

    def __init__(self, answer, dom0=None):
        self.answer, self.dom0 = answer, dom0

    def __call__(self):
        return self

    def read(self, path):
        if path == "/gnttab/0/max-maptrack-frames":
            if self.dom0 is None:
                raise XenLibraryError("xenhypfs_read", path, errno.ENOENT)
            return self.dom0
        assert path.startswith("/params/gnttab_max_")
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer
