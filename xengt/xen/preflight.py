"""Checks before a command starts: that this is a dom0, and that it has a device."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xengt.errors import FailedError, UnmetError
from xengt.xen import kernel
from xengt.xen.device_access import open_error
from xenlib_cffi.call import Call
from xenlib_cffi.errors import BindingError, MissingLibraryError


def require_control_domain() -> None:
    """Check that this is a dom0 and that Xen answers.

    Raises:
        UnmetError: this is not a Xen dom0, or Xen cannot be queried.
    """
    if not kernel.is_control_domain():
        raise _not_dom0()
    try:
        with Call() as call:
            call.xen_version()
    except BindingError as error:
        raise UnmetError(f"Xen cannot be queried: {error}", error.remedy) from error


def _not_dom0() -> UnmetError:
    """Explain why this is not known to be a dom0."""
    if not kernel.is_on_xen():
        return UnmetError(
            "this is not a Xen dom0: Linux does not run on Xen",
            "run xengt in a dom0 (the lab in xengt's source tree has one: deploy/lab/lab run); "
            "`xengt check` reports what is missing",
        )
    if kernel.capabilities() is None:
        return UnmetError(
            "it is unknown whether this is a Xen dom0: /proc/xen/capabilities cannot be read",
            "mount xenfs: `mount -t xenfs xenfs /proc/xen`",
        )
    return UnmetError(
        "this is not a Xen dom0: it is a guest, where only `xengt share` and `xengt map` run",
        "run this command in dom0",
    )


def require_device(path: Path, module: str) -> None:
    """Check that a device can be opened.

    Args:
        path: the device.
        module: the kernel module that creates it.

    Raises:
        UnmetError: it cannot be opened.
    """
    error = open_error(path)
    if error is not None:
        raise UnmetError(
            f"{path} cannot be opened: {error.strerror}",
            f"load the driver: modprobe {module}"
            if error.errno == errno.ENOENT
            else "run xengt as root",
        )


@contextmanager
def library_errors_explained() -> Iterator[None]:
    """Convert errors of Xen's libraries that reach the context's end into xengt's errors.

    Raises:
        UnmetError: in place of a MissingLibraryError.
        FailedError: in place of any other error of the bindings.
    """
    try:
        yield
    except MissingLibraryError as error:
        raise UnmetError(str(error), error.remedy) from error
    except BindingError as error:
        remedy = error.remedy or "see `xl dmesg` and `dmesg`; `xengt check` may report the cause"
        raise FailedError(str(error), remedy) from error
