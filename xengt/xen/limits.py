"""The limits on grant and maptrack tables that this Xen gives a domain."""

from dataclasses import dataclass

from xengt.xen import command_line
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import BindingError
from xenlib_cffi.hypfs import HypFs

MAX_FRAMES = "gnttab_max_frames"
MAX_MAPTRACK_FRAMES = "gnttab_max_maptrack_frames"
#: Xen's defaults (docs/misc/xen-command-line.pandoc).
DEFAULTS = {MAX_FRAMES: 64, MAX_MAPTRACK_FRAMES: 1024}
#: `struct grant_mapping` is 16 bytes: handles in one maptrack frame
HANDLES_A_FRAME = 256
#: Slow handles have bit 31 clear, so that many there are at most, whatever the limit.
SLOW_HANDLES = 1 << 31


@dataclass(frozen=True)
class Limit:
    """A limit on every table that has none of its own.

    Args:
        frames: of 4 KiB.
        source: who says so, in words.
    """

    frames: int
    source: str


def limit(option: str, words: str | None = None) -> Limit:
    """Tell a limit of the running Xen: by hypfs, or else its command line, or else its default.

    Stands on `xenhypfs_read` and, where there is no hypfs, on `xc_version`. A
    domain made with a limit of its own, by a toolstack, has that one.

    Args:
        option: `MAX_FRAMES` or `MAX_MAPTRACK_FRAMES`.
        words: Xen's command line where it is known; None asks Xen for it.
    """
    try:
        with HypFs() as hypfs:
            return Limit(int(hypfs.read(f"/params/{option}")), "as hypfs says")
    except (BindingError, ValueError):
        pass  # a Xen without hypfs, or built without the values in it
    given = command_line.number(_commandline() if words is None else words, option)
    if given is not None:
        return Limit(given, "from Xen's command line")
    return Limit(DEFAULTS[option], "Xen's default")


def maptrack_handles() -> int:
    """Tell how many slow handles, the maptrack table's, dom0 may have at once."""
    return min(limit(MAX_MAPTRACK_FRAMES).frames * HANDLES_A_FRAME, SLOW_HANDLES)


def _commandline() -> str:
    """Ask Xen for its command line; nothing where it does not tell."""
    try:
        with Ctrl() as ctrl:
            return ctrl.version().commandline
    except BindingError:
        return ""
