"""The limits on grant and maptrack tables: those of domains created now, and those of dom0.

A domain keeps the limits that it was created with. Xen creates dom0 at boot with the limits of its
command line; afterwards, the parameters in hypfs can be changed for domains that are created later.
"""

from dataclasses import dataclass

from xengt.xen import command_line
from xengt.xen.grant_table import HANDLES_PER_FRAME
from xengt.xen.handle import DOM0, MAX_SLOW_HANDLES
from xengt.xen.maptrack import HYPFS_DIRECTORY
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import BindingError
from xenlib_cffi.hypfs import HypFs

MAX_FRAMES = "gnttab_max_frames"
MAX_MAPTRACK_FRAMES = "gnttab_max_maptrack_frames"
#: frames; Xen's defaults (docs/misc/xen-command-line.pandoc)
DEFAULTS = {MAX_FRAMES: 64, MAX_MAPTRACK_FRAMES: 1024}


@dataclass(frozen=True)
class Limit:
    """The limit on a table of a domain.

    Args:
        frames: number of 4 KiB frames.
        source: where the limit was read, for the user.
    """

    frames: int
    source: str


def limit(option: str, commandline: str | None = None) -> Limit:
    """Return the limit of domains that are created now without a limit of their own.

    It is read from hypfs, Xen's command line, or Xen's defaults, with `xenhypfs_read` and,
    on a Xen without hypfs, `xc_version`.

    Args:
        option: `MAX_FRAMES` or `MAX_MAPTRACK_FRAMES`.
        commandline: Xen's command line; None requests it from Xen if needed.
    """
    current = _hypfs_number(f"/params/{option}")
    # A Xen without hypfs cannot change its parameters, nor can one built without them in hypfs.
    return Limit(current, "hypfs") if current is not None else _boot_limit(option, commandline)


def dom0_limit(option: str, commandline: str | None = None) -> Limit:
    """Return the limit that dom0 was created with.

    It is read with `GNTTABOP_query_size` or, for the maptrack table, from /gnttab of the
    patched hypervisor; a stock Xen does not report it, and created dom0 with the limit of its
    command line or with its default.

    Args:
        option: `MAX_FRAMES` or `MAX_MAPTRACK_FRAMES`.
        commandline: Xen's command line; None requests it from Xen if needed.
    """
    if option == MAX_FRAMES:
        try:
            with Ctrl() as ctrl:
                return Limit(ctrl.grant_size(DOM0)[1], "GNTTABOP_query_size")
        except BindingError:
            return _boot_limit(option, commandline)
    path = f"{HYPFS_DIRECTORY}/{DOM0}/max-maptrack-frames"
    exact = _hypfs_number(path)
    return Limit(exact, path) if exact is not None else _boot_limit(option, commandline)


def maptrack_handles() -> int:
    """Return an upper bound of the number of slow handles that dom0 can have at once.

    On stock Xen, which does not report dom0's limit, the parameter in hypfs counts as well: a
    vendor's Xen may have another default than upstream's. Lowering it does not lower the bound.
    """
    limits = [dom0_limit(MAX_MAPTRACK_FRAMES)]
    if not limits[0].source.startswith(HYPFS_DIRECTORY):
        limits.append(limit(MAX_MAPTRACK_FRAMES))
    return min(max(each.frames for each in limits) * HANDLES_PER_FRAME, MAX_SLOW_HANDLES)


def _boot_limit(option: str, commandline: str | None) -> Limit:
    """Return the limit that Xen had at boot, when it created dom0."""
    words = command_line.of_running_xen() if commandline is None else commandline
    frames = command_line.read_number(words, option)
    if frames is not None:
        return Limit(frames, "Xen's command line")
    return Limit(DEFAULTS[option], "Xen's default")


def _hypfs_number(path: str) -> int | None:
    """Read a number from hypfs; None if this Xen has no such entry."""
    try:
        with HypFs() as hypfs:
            return int(hypfs.read(path))
    except (BindingError, ValueError):
        return None
