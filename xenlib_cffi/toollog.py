"""libxentoollog: the messages that Xen's libraries log.

By default, the libraries print messages to standard error. The bindings open every handle with the
logger of csrc/last_message.c, and add the message to the exception.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # only the stub has names for C types
    from xenlib_cffi._xen import FFI, CXentoollogLogger, Lib


def logger(lib: "Lib") -> "CXentoollogLogger":
    """Return the `xentoollog_logger *` to open a library with (`last_message_logger`).

    Args:
        lib: the `lib` of the extension module.
    """
    return lib.last_message_logger()


def take_last_message(ffi: "FFI", lib: "Lib") -> str:
    """Return and clear this thread's last warning or error (`last_message_take`).

    Args:
        ffi: the `ffi` of the extension module.
        lib: the `lib` of the extension module.

    Returns:
        The message; "" if there is none.
    """
    return ffi.string(lib.last_message_take()).decode(errors="replace")
