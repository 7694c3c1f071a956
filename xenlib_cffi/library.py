"""The compiled extension, and what every handle of a library has in common."""

import errno
from types import TracebackType
from typing import Any, Self

from xenlib_cffi import toollog
from xenlib_cffi.errors import MissingLibraryError, XenLibraryError

#: bytes; Xen's interface is in pages of this size on every architecture (`XC_PAGE_SIZE`)
PAGE_SIZE = 4096

REMEDY = (
    "on Debian: apt install libxen-dev libxengnttab1 libxenmisc4.20 (of your release's Xen), "
    "then install this package again"
)


def load() -> tuple[Any, Any]:
    """The cffi `ffi` and `lib` of the extension compiled against Xen's libraries.

    Raises:
        MissingLibraryError: the extension was not built, or a library it needs
            is not installed; says which.
    """
    try:
        from xenlib_cffi._xen import ffi, lib  # noqa: PLC0415 (absent where there is no Xen)
    except ImportError as error:
        raise MissingLibraryError(f"Xen's C libraries cannot be used: {error}; {REMEDY}") from error
    return ffi, lib


class LibraryHandle:
    """One open handle of a C library: closed by `with`, by `close`, at worst by the collector.

    What the class hides: the errno is read right after the call, and the
    library's own log line goes into the error rather than to stderr.

    Args:
        call: the C function that opens, by name.
        subject: what it opens, for the error.
        close: the C function that closes, by name.
        loggers: how many `call` takes, before its flags.

    Raises:
        MissingLibraryError: Xen's libraries are not here.
        XenLibraryError: the handle cannot be opened.
    """

    def __init__(self, call: str, subject: str, close: str, *, loggers: int = 1) -> None:
        """Open it, with the collector as a backstop for closing."""
        self.ffi, self.lib = load()
        self.subject = subject
        toollog.take(self.ffi, self.lib)  # what an earlier call left is not this one's
        pointer = getattr(self.lib, call)(*[toollog.logger(self.lib)] * loggers, 0)
        if not pointer:
            raise self.failure(call, subject)
        self.pointer = self.ffi.gc(pointer, getattr(self.lib, close))

    def close(self) -> None:
        """Close it now; a second call does nothing."""
        self.ffi.release(self.pointer)

    def __enter__(self) -> Self:
        """Itself: it is open already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it, whatever happened."""
        self.close()

    def failure(self, call: str, subject: str, number: int | None = None) -> XenLibraryError:
        """The error of a call that just failed, with the errno it left and what it logged."""
        caught = self.ffi.errno if number is None else number
        detail = toollog.take(self.ffi, self.lib)
        return XenLibraryError(call, subject, caught or errno.EIO, detail)

    def check(self, result: int, call: str, subject: str) -> int:
        """A C call's result, or the error it stands for when it is negative."""
        if result < 0:
            raise self.failure(call, subject)
        return result


class Pages:
    """Pages a library mapped: given back by `with`, `release`, at worst by the collector.

    Args:
        ffi: the extension's.
        pointer: the first page, with its finalizer (`ffi.gc`).
        count: pages, of 4,096 bytes, contiguous.
    """

    SIZE = PAGE_SIZE

    def __init__(self, ffi: Any, pointer: Any, count: int) -> None:  # noqa: ANN401 (cffi's)
        """Take over the pointer."""
        self._ffi = ffi
        self.pointer = pointer
        self.count = count

    def page(self, index: int) -> Any:  # noqa: ANN401 (cffi's buffer has no public type)
        """The bytes of one page, as a writable buffer.

        Args:
            index: of the page, from 0.

        Raises:
            IndexError: there are not that many.
        """
        if not 0 <= index < self.count:
            raise IndexError(index)
        first = self._ffi.cast("char *", self.pointer)
        return self._ffi.buffer(first + index * self.SIZE, self.SIZE)

    def release(self) -> None:
        """Give them back now; a second call does nothing."""
        self._ffi.release(self.pointer)

    def __enter__(self) -> Self:
        """Itself: they are mapped already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give them back, whatever happened."""
        self.release()
