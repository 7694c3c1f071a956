"""What a refused grant operation means to whoever asked for it."""

from collections.abc import Iterable

from xengt.errors import FailedError
from xengt.sharing.references import Reference
from xengt.xen.limits import MAX_MAPTRACK_FRAMES, maptrack_handles
from xenlib_cffi.call import Call
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import GrantError, GrantStatus, XenLibraryError
from xenlib_cffi.foreignmemory import ENTRIES_PER_FRAME


def find_refusal(references: Iterable[Reference], *, readonly: bool) -> GrantError | None:
    """Ask Xen itself which of several references it refuses, since gntdev does not tell.

    Args:
        references: mapped one by one, for a device, and unmapped.
        readonly: how they are mapped.

    Returns:
        The first refusal; None if there is none, or Xen does not let us ask.
    """
    try:
        with Call() as call:
            for domid, gref, _ in references:
                call.unmap_device(call.map_device([(domid, gref)], readonly=readonly))
    except GrantError as error:
        return error
    except XenLibraryError:
        pass
    return None


def explain_refusal(error: GrantError) -> FailedError:
    """Say what Xen's refusal of one operation means here.

    Args:
        error: with domain, reference and Xen's status.
    """
    if error.status == GrantStatus.NO_SPACE:
        return FailedError(
            str(error),
            f"dom0's maptrack table is full: it may hold {maptrack_handles()} mappings, other "
            f"drivers' included; raise {MAX_MAPTRACK_FRAMES} on Xen's command line, "
            "or lower --hold, --mappings or --batch",
        )
    with Ctrl() as ctrl:
        domain = ctrl.domain(error.domid)
        if domain is None or domain.dying:
            return FailedError(
                f"{error}; domain {error.domid} is {'dying' if domain else 'gone'}",
                "measure again when the domain is back",
            )
        frames, _ = ctrl.grant_size(error.domid)
    if error.gref >= frames * ENTRIES_PER_FRAME:
        return FailedError(
            f"{error}; its table has {frames} frames, references up to "
            f"{frames * ENTRIES_PER_FRAME - 1}",
            "the granter published a reference it never made: restart `xengt share` there",
        )
    return FailedError(
        str(error),
        f"domain {error.domid} does not grant it any more (revoked?), or not to dom0 in this way: "
        "restart `xengt share` there",
    )
