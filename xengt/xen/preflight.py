"""Whether this is a dom0 that can measure at all, said before anything is started."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from xengt.errors import FailedError, UnmetError
from xengt.xen import kernel
from xengt.xen.device_access import refusal
from xenlib_cffi.call import Call
from xenlib_cffi.errors import BindingError, MissingLibraryError

GNTDEV = Path("/dev/xen/gntdev")


def require_dom0(engines: Sequence[str]) -> None:
    """Refuse to start where the engines cannot run.

    Args:
        engines: `hypercall`, `gntdev`.

    Raises:
        UnmetError: no Xen, no dom0, a device that cannot be opened, or a dom0 in
            which an engine's mappings are refused; says what to do.
    """
    if not kernel.is_control_domain():
        raise UnmetError(
            "this is not a Xen dom0",
            "run it in a dom0, or in the lab: ./deploy/lab/demo; `xengt check` says more",
        )
    try:
        with Call() as call:
            call.xen_version()
    except BindingError as error:
        raise UnmetError(str(error), error.remedy) from error
    if "gntdev" in engines and (refused := refusal(GNTDEV)) is not None:
        raise UnmetError(
            f"{GNTDEV} cannot be opened: {refused.strerror}",
            "load the driver: modprobe xen-gntdev"
            if refused.errno == errno.ENOENT
            else "run it as root",
        )
    kind = kernel.dom0_kind()
    if "hypercall" in engines and kind not in {"PV", None}:
        raise UnmetError(
            f"dom0 is {kind}, where Xen refuses the hypercall engine's device maps",
            "measure with --engine gntdev, or boot a PV dom0 (dom0=pv)",
        )


@contextmanager
def library_errors_explained() -> Iterator[None]:
    """Turn the libraries' errors that nobody nearer could explain into ours.

    Raises:
        FailedError: in place of a library's error.
    """
    try:
        yield
    except MissingLibraryError as error:
        raise UnmetError(str(error), error.remedy) from error
    except BindingError as error:
        remedy = error.remedy or "see `xl dmesg` and `dmesg`; `xengt check` may tell why"
        raise FailedError(str(error), remedy) from error
