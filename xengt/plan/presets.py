"""Defaults of drivers and toolstacks: queues, rings, backends, and limits of grant tables."""

from dataclasses import dataclass
from enum import StrEnum

from xengt.plan.devices import GuestDevices
from xengt.xen.limits import Limit


class Preset(StrEnum):
    """Whose defaults apply to options that are not given."""

    LINUX = "linux"
    XAPI = "xapi"


@dataclass(frozen=True, slots=True)
class Defaults:
    """Values of options that are not given, as in `GuestDevices`."""

    vif_queues: int = 1
    vbd_queues: int = 1
    segments: int = 32
    user_space: bool = False
    headroom: int = 0


DEFAULTS_OF: dict[Preset | None, Defaults] = {
    None: Defaults(),
    # MAX_QUEUES_DEFAULT of xen-netfront.c; xen_blkif_max_queues, xen_blkif_max_segments and
    # xen_blkif_max_ring_order of xen-blkfront.c
    Preset.LINUX: Defaults(vif_queues=8, vbd_queues=4),
    # disks of tapdisk; room for one more vif and vbd, as in xenopsd's xc/domain.ml
    Preset.XAPI: Defaults(vif_queues=8, segments=0, user_space=True, headroom=1),
}
# xenopsd's xc/domain.ml
_XAPI_FRAMES_PER_VIF, _XAPI_FRAMES_PER_VBD, _XAPI_ADDED, _XAPI_LEAST = 8, 1, 1, 64


def xapi_limit(guest: GuestDevices) -> Limit:
    """Return the limit that XAPI (xenopsd) gives to the grant table of a new domain.

    It reckons 8 frames per vif and 1 per vbd, of one more each than the domain has; the limit is
    at least 64.

    Args:
        guest: the devices of the domain.
    """
    frames = _XAPI_FRAMES_PER_VIF * (guest.vifs + _XAPI_ADDED)
    frames += _XAPI_FRAMES_PER_VBD * (guest.vbds + _XAPI_ADDED)
    return Limit(max(_XAPI_LEAST, frames), "XAPI's estimate for these vifs and vbds")
