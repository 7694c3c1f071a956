"""What a killed benchmark left behind, that the next one will take back."""

from collections.abc import Iterator

from xengt import journal, kernel, leftovers
from xengt.checks.check import Check, ok, warning
from xengt.errors import UnmetError
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import MissingLibraryError, XenLibraryError

NAME = "leftovers"


def run() -> Iterator[Check]:
    """Check for mappings and empty domains; nothing where there is no Xen to ask."""
    if not kernel.is_control_domain():
        return
    try:
        with Ctrl() as ctrl:
            domids = leftovers.domains(ctrl)
        with journal.opened() as book:
            mapped = book.read().mapped
    except UnmetError as busy:
        yield ok(NAME, busy.what)
    except (MissingLibraryError, XenLibraryError):
        return  # the checks of the hypervisor say why
    else:
        yield found(domids, mapped)


def found(domids: list[int], mapped: bool) -> Check:
    """Say what is there.

    Args:
        domids: of empty domains whose maker is dead.
        mapped: whether a dead run's journal tells of mappings.
    """
    if not domids and not mapped:
        return ok(NAME, "no killed benchmark has left anything")
    left = [f"empty domain {domid}" for domid in domids] + ["mappings"] * mapped
    return warning(
        NAME,
        f"a killed benchmark has left {', '.join(left)}",
        "The next one takes it all back: `xengt bench --samples 1`.",
    )
