"""Checks for domains, mappings and trace objects that a killed run has left."""

from collections.abc import Iterator

from xengt.check.outcome import Check, Command, missing, ok, sentence, warning
from xengt.errors import UnmetError
from xengt.recovery import journal, sweep
from xengt.recovery.lock import BusyError
from xengt.serve.passive import guard
from xengt.xen import kernel
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import BindingError

NAME = "leftovers"


def run() -> Iterator[Check]:
    """Yield the checks; none if this is not a dom0 or Xen cannot be queried."""
    if not kernel.is_control_domain():
        return
    try:
        with Ctrl() as ctrl:
            domids = sweep.abandoned_domains(ctrl)
        with journal.open_journal() as open_journal:
            mapped = open_journal.read().mapped
        trace_objects = guard.abandoned_trace_objects()
    except BusyError as busy:
        yield ok(NAME, f"not checked: {busy.what}")
    except UnmetError as error:
        # A benchmark records its mappings in the journal; the agent's probe alone fails without it.
        yield missing(NAME, f"not checked: {error.what}", sentence(error.remedy), (Command.BENCH,))
    except BindingError:
        return  # the checks of the libraries and the hypervisor report this
    else:
        yield benchmark_leftovers(domids, mapped)
        if trace_objects:
            yield agent_leftovers(trace_objects)


def benchmark_leftovers(domids: list[int], mapped: bool) -> Check:
    """Check for empty domains and mappings of a killed benchmark or probe.

    Args:
        domids: of empty domains whose creator is dead.
        mapped: whether the journal of a dead run has mappings.
    """
    if not domids and not mapped:
        return ok(NAME, "no killed benchmark has left a domain or a mapping")
    leftovers = [f"empty domain {domid}" for domid in domids] + ["mappings"] * mapped
    return warning(
        NAME,
        f"a killed benchmark has left {', '.join(leftovers)}",
        "The next benchmark cleans up: run `xengt bench --samples 1` "
        "(in a PVH dom0 with --engine gntdev).",
    )


def agent_leftovers(trace_objects: list[str]) -> Check:
    """Warn of trace objects of a killed agent with passive latencies.

    Args:
        trace_objects: their names in tracefs.
    """
    return warning(
        NAME,
        f"a killed agent has left {', '.join(trace_objects)} in tracefs",
        "The next agent cleans up: run `xengt serve`.",
    )
