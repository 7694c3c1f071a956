"""What a killed benchmark or agent left behind, that the next one will take back."""

from collections.abc import Iterator

from xengt.check.outcome import Check, ok, warning
from xengt.errors import UnmetError
from xengt.recovery import journal, sweep
from xengt.serve.passive import guard
from xengt.xen import kernel
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import BindingError

NAME = "leftovers"


def run() -> Iterator[Check]:
    """Check for mappings, empty domains and probes; nothing where there is no Xen to ask."""
    if not kernel.is_control_domain():
        return
    try:
        with Ctrl() as ctrl:
            domids = sweep.abandoned_domains(ctrl)
        with journal.open_journal() as book:
            mapped = book.read().mapped
        left = guard.abandoned()
    except UnmetError as busy:
        yield ok(NAME, busy.what)
    except BindingError:
        return  # the checks of the hypervisor say why
    else:
        yield found(domids, mapped)
        if left:
            yield traced(left)


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


def traced(left: list[str]) -> Check:
    """Say what is there of a dead agent that had the kernel time its grant calls.

    Args:
        left: its names in tracefs.
    """
    return warning(
        NAME,
        f"a killed agent has left {', '.join(left)} in tracefs",
        "The next one takes it all back: `xengt serve`.",
    )
