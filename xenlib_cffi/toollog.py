"""libxentoollog: what the libraries log, kept for the error that it belongs to.

The libraries would print to standard error, beside the error that is raised.
Every handle of this package is opened with one logger of csrc/kept_log.c.
"""

from typing import Any


def logger(lib: Any) -> Any:  # noqa: ANN401 (the extension's, and a pointer of cffi)
    """The `xentoollog_logger *` that every library is opened with."""
    return lib.kept_log()


def take(ffi: Any, lib: Any) -> str:  # noqa: ANN401 (the extension's)
    """This thread's last warning or error, "" when there is none; it is forgotten then."""
    return str(ffi.string(lib.kept_log_take()).decode(errors="replace"))
