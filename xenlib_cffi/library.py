"""The extension module, and the parts that all handles of libraries share."""

import errno
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from xenlib_cffi import toollog
from xenlib_cffi.errors import MissingLibraryError, XenLibraryError

if TYPE_CHECKING:  # only the stubs have names for C types
    from xenlib_cffi._histogram import CArray, CBuffer, CData
    from xenlib_cffi._xen import FFI, CXentoollogLogger, Lib

#: bytes of a page in Xen's interfaces (csrc/page.h)
PAGE_SIZE = 4096

INSTALL_LIBRARIES = (
    "install Xen's libraries and then this package again (Debian: apt install libxen-dev "
    "libxengnttab1 libxenmisc4.20, or the libxenmisc of the installed Xen)"
)

PointerT = TypeVar("PointerT", bound="CData")


def load() -> tuple["FFI", "Lib"]:
    """Load the extension module that is linked with Xen's libraries.

    Returns:
        Its `ffi` and its `lib`.

    Raises:
        MissingLibraryError: the module was not built, or a library is not installed.
    """
    try:
        from xenlib_cffi._xen import ffi, lib  # noqa: PLC0415 (not built where Xen is missing)
    except ImportError as error:
        raise MissingLibraryError(
            f"Xen's C libraries cannot be used: {error}", INSTALL_LIBRARIES
        ) from error
    return ffi, lib


class LibraryHandle:
    """An open handle of a C library.

    It is closed by `with`, by `close` or, at the latest, by the garbage collector. Errors have the
    errno of the call and the message that the library logged.

    Args:
        call: name of the C function that opens the handle.
        subject: the device or the interface that it opens.
        open_library: calls that function with a logger and the flags.
        close_library: closes the handle.

    Attributes:
        ffi: the `ffi` of the extension module.
        lib: the `lib` of the extension module.
        pointer: the C handle; subclasses declare its type.

    Raises:
        XenLibraryError: the handle cannot be opened.
    """

    pointer: "CData"

    def __init__(
        self,
        call: str,
        subject: str,
        open_library: "Callable[[CXentoollogLogger, int], PointerT]",
        close_library: Callable[[PointerT], int],
    ) -> None:
        """Open the handle."""
        self.ffi, self.lib = load()
        toollog.take_last_message(self.ffi, self.lib)  # discard the message of an earlier call
        pointer = open_library(toollog.logger(self.lib), 0)
        if not pointer:
            raise self.failure(call, subject)
        self.pointer = self.ffi.gc(pointer, close_library)

    def close(self) -> None:
        """Close the handle; has no effect if it is closed already."""
        self.ffi.release(self.pointer)

    def __enter__(self) -> Self:
        """Return the handle, which is open already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the handle."""
        self.close()

    def failure(self, call: str, subject: str, number: int | None = None) -> XenLibraryError:
        """Create the exception for a call that failed, with the message that it logged.

        Args:
            call: name of the C function.
            subject: the domain, the reference or the device that it was called for.
            number: the errno of the call; None takes the errno of the last C call.
        """
        caught = self.ffi.errno if number is None else number
        detail = toollog.take_last_message(self.ffi, self.lib)
        return XenLibraryError(call, subject, caught or errno.EIO, detail)

    def check(self, result: int, call: str, subject: str) -> int:
        """Return the result of a C call.

        Args:
            result: the return value; negative if the call failed.
            call: name of the C function.
            subject: the domain, the reference or the device that it was called for.

        Raises:
            XenLibraryError: the result is negative.
        """
        if result < 0:
            raise self.failure(call, subject)
        return result


class Pages:
    """Contiguous pages that a library mapped.

    They are unmapped by `with`, by `release` or, at the latest, by the garbage collector.

    Args:
        ffi: the `ffi` of the extension module.
        pointer: the first page, with a finalizer that unmaps all (`ffi.gc`).
        count: number of pages.
    """

    def __init__(self, ffi: "FFI", pointer: "CData", count: int) -> None:
        """Take ownership of the pointer."""
        self._ffi = ffi
        self.pointer = pointer
        self.count = count

    def page(self, index: int) -> "CBuffer":
        """Return the content of one page as a writable buffer of `PAGE_SIZE` bytes.

        Args:
            index: index of the page, from 0.

        Raises:
            IndexError: there is no such page.
        """
        return self._ffi.buffer(self.address(index), PAGE_SIZE)

    def number(self, index: int) -> int:
        """Return the number of one page in this process: its address divided by the page size.

        Args:
            index: index of the page, from 0.

        Raises:
            IndexError: there is no such page.
        """
        return int(self._ffi.cast("uintptr_t", self.address(index))) // PAGE_SIZE

    def address(self, index: int) -> "CArray[bytes]":
        """Return the address of one page.

        Args:
            index: index of the page, from 0.

        Raises:
            IndexError: there is no such page.
        """
        if not 0 <= index < self.count:
            raise IndexError(index)
        return self._ffi.cast("char *", self.pointer) + index * PAGE_SIZE

    def release(self) -> None:
        """Unmap the pages; has no effect if they are unmapped already."""
        self._ffi.release(self.pointer)

    def __enter__(self) -> Self:
        """Return the pages, which are mapped already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Unmap the pages."""
        self.release()
