"""The default limits on a domain's grant and maptrack tables in the running Xen."""

from dataclasses import dataclass

from xengt.xen import command_line
from xengt.xen.grant_table import HANDLES_PER_FRAME
from xengt.xen.handle import MAX_SLOW_HANDLES
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import BindingError
from xenlib_cffi.hypfs import HypFs

MAX_FRAMES = "gnttab_max_frames"
MAX_MAPTRACK_FRAMES = "gnttab_max_maptrack_frames"
#: frames; Xen's defaults (docs/misc/xen-command-line.pandoc)
DEFAULTS = {MAX_FRAMES: 64, MAX_MAPTRACK_FRAMES: 1024}


@dataclass(frozen=True)
class Limit:
    """The limit on a table of each domain that is created without its own limit.

    Args:
        frames: number of 4 KiB frames.
        source: where the limit was read, for the user.
    """

    frames: int
    source: str


def limit(option: str, commandline: str | None = None) -> Limit:
    """Return a limit of the running Xen, from hypfs, its command line, or its defaults.

    Uses `xenhypfs_read` and, on a Xen without hypfs, `xc_version`. A toolstack may
    create a domain with another limit, which this function does not return.

    Args:
        option: `MAX_FRAMES` or `MAX_MAPTRACK_FRAMES`.
        commandline: Xen's command line; None requests it from Xen if needed.
    """
    try:
        with HypFs() as hypfs:
            return Limit(int(hypfs.read(f"/params/{option}")), "hypfs")
    except (BindingError, ValueError):
        pass  # a Xen without hypfs, or one built without the parameters in it
    frames = command_line.read_number(
        _commandline() if commandline is None else commandline, option
    )
    if frames is not None:
        return Limit(frames, "Xen's command line")
    return Limit(DEFAULTS[option], "Xen's default")


def maptrack_handles() -> int:
    """Return the maximum number of slow handles that dom0 can have at once."""
    return min(limit(MAX_MAPTRACK_FRAMES).frames * HANDLES_PER_FRAME, MAX_SLOW_HANDLES)


def _commandline() -> str:
    """Request Xen's command line; empty if it cannot be read."""
    try:
        with Ctrl() as ctrl:
            return ctrl.version().commandline
    except BindingError:
        return ""
