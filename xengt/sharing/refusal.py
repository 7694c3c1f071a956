"""Finds and explains the reference whose map Xen rejects."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager

from xengt.errors import FailedError, UnmetError
from xengt.sharing.references import Reference
from xengt.xen import kernel
from xengt.xen.grant_table import ENTRIES_PER_FRAME, HANDLES_PER_FRAME
from xengt.xen.limits import MAX_MAPTRACK_FRAMES, dom0_limit
from xengt.xen.unstable import unless_other_version
from xenlib_cffi.call import Call
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import GrantError, GrantStatus, XenLibraryError
from xenlib_cffi.gnttab import GrantMapper

Recorder = Callable[[Sequence[Reference]], AbstractContextManager[Callable[[int], None]]]
"""Records in the journal which reference is mapped by hypercall, so that a mapping of a killed
process is found: `Journal.record_each`, and `record_maps` of `xengt.recovery.recorded_maps`. The
context's function gets the number of the reference, from 1, before its map; 0 after its unmap."""


def find_refusal(
    references: Iterable[Reference], *, readonly: bool, record: Recorder
) -> GrantError | None:
    """Find the first reference that Xen rejects, which gntdev does not report.

    They are mapped one by one, and unmapped: for a device, as Xen reports the status then; in a
    translated domain, whose device maps Xen rejects, through gntdev.

    Args:
        references: the references, of another domain.
        readonly: whether to map them read-only.
        record: records them while they are mapped by hypercall.

    Returns:
        Xen's error, without a status if it is gntdev's; None if Xen accepts all references or this
        user cannot make hypercalls.

    Raises:
        UnmetError: the references cannot be recorded, so that none was mapped.
    """
    if kernel.is_translated():
        return _find_through_gntdev(references, readonly=readonly)
    try:
        with Call() as call:
            return _find_by_hypercall(call, list(references), readonly=readonly, record=record)
    except XenLibraryError:
        return None


def _find_by_hypercall(
    call: Call, references: Sequence[Reference], *, readonly: bool, record: Recorder
) -> GrantError | None:
    with record(references) as mark:
        for number, (domid, gref, _) in enumerate(references, 1):
            mark(number)
            try:
                mapped = call.map_device([(domid, gref)], readonly=readonly)
            except GrantError as error:
                mark(0)
                return error
            if call.unmap_device(mapped) != [GrantStatus.OKAY]:
                return None  # The record of the mapping remains: the cleanup searches for it.
            mark(0)
    return None


def _find_through_gntdev(references: Iterable[Reference], *, readonly: bool) -> GrantError | None:
    with GrantMapper() as mapper:
        for domid, gref, _ in references:
            try:
                mapper.map([(domid, gref)], readonly=readonly).release()
            except XenLibraryError as error:
                return GrantError(error.call, domid, gref, error.strerror or "rejected")
    return None


def explain_gntdev_error(
    error: GrantError | XenLibraryError,
    references: Iterable[Reference],
    *,
    readonly: bool,
    record: Recorder,
) -> FailedError:
    """Explain why the loop of an engine failed that maps through gntdev.

    Args:
        error: a page with wrong content, or the error of the call.
        references: those that the call may have mapped.
        readonly: whether it mapped them read-only.
        record: records them while they are mapped by hypercall.
    """
    if isinstance(error, GrantError):
        return FailedError(
            str(error),
            "the granter changed the page or now grants a different page under this reference: "
            "restart `xengt share` there",
        )
    remedy = "see `dmesg` for messages of gntdev, and `xl dmesg`"
    return explain_failed_map(error, references, remedy, readonly=readonly, record=record)


def explain_failed_map(
    error: XenLibraryError,
    references: Iterable[Reference],
    remedy: str,
    *,
    readonly: bool,
    record: Recorder,
) -> FailedError:
    """Explain why a map through gntdev failed, which does not report the reference.

    Args:
        error: the error of the call.
        references: those that the call may have mapped.
        remedy: what the user can do if the rejected reference is not found.
        readonly: whether it mapped them read-only.
        record: records them while they are mapped by hypercall.
    """
    try:
        refused = find_refusal(references, readonly=readonly, record=record)
    except UnmetError as unmet:
        return FailedError(
            f"{error}; the rejected reference is not known: {unmet.what}",
            f"{unmet.remedy}; then repeat the command to find the reference, or {remedy}",
        )
    return FailedError(str(error), remedy) if refused is None else explain_refusal(refused)


def explain_refusal(error: GrantError) -> FailedError:
    """Explain a rejected grant operation by the state of the granter and of dom0's maptrack.

    Args:
        error: Xen's error, with domain, reference and, if it is known, status.
    """
    if error.status == GrantStatus.NO_SPACE:
        handles = dom0_limit(MAX_MAPTRACK_FRAMES).frames * HANDLES_PER_FRAME
        return FailedError(
            str(error),
            f"dom0's maptrack table is full: it may hold {handles} mappings, including "
            f"those of other drivers; raise {MAX_MAPTRACK_FRAMES} on Xen's command line, "
            "or map fewer references at once (xengt bench: --hold, --mappings, --batch)",
        )
    with Ctrl() as ctrl:
        domains = unless_other_version(lambda: {each.domid: each for each in ctrl.domains()})
        domain = None if domains is None else domains.get(error.domid)
        if domains is not None and (domain is None or domain.dying):
            state = "is dying" if domain else "does not exist any more"
            return FailedError(
                f"{error}; domain {error.domid} {state}",
                "repeat the command when the domain runs again",
            )
        frames, _ = ctrl.grant_size(error.domid)
        version = ctrl.grant_version(error.domid)
    entries = frames * ENTRIES_PER_FRAME[version]
    if error.gref >= entries:
        return FailedError(
            f"{error}; the grant table of domain {error.domid} has version {version} and "
            f"{frames} frames, for references up to {entries - 1}",
            f"give a reference that domain {error.domid} has; if `xengt share` published this "
            f"one, restart `xengt share` in domain {error.domid}",
        )
    return FailedError(
        str(error),
        f"domain {error.domid} may have revoked the grant, or does not allow dom0 this access; "
        f"if it runs `xengt share`, restart `xengt share` in domain {error.domid}",
    )
