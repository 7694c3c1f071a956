"""How the running hypervisor tracks mappings: in maptrack tables, or also in fast entries."""

from typing import Literal

from xengt.xen import command_line
from xenlib_cffi.errors import BindingError
from xenlib_cffi.hypfs import HypFs

#: `no-fast`: patched, with fast entries switched off; `unknown`: Xen has no hypfs
Maptrack = Literal["stock", "fast", "no-fast", "unknown"]
DESCRIPTIONS: dict[Maptrack, str] = {
    "stock": "stock: every mapping has an entry in the mapper's maptrack table",
    "fast": (
        "fast: the first two mappings of a reference are recorded in the granter's table (with a "
        "strict IOMMU, those of a PV dom0 only with gnttab=bus-region)"
    ),
    "no-fast": "patched, with fast entries off (Xen's command line: gnttab=no-fast-maptrack)",
    "unknown": "unknown: this Xen has no hypfs, which would report it",
}
#: For the names of the two sides of a comparison.
SHORT_NAMES: dict[Maptrack | None, str] = {
    "stock": "stock maptrack",
    "fast": "fast maptrack",
    "no-fast": "fast maptrack off",
}
#: A directory of hypfs that the patched hypervisor has and stock Xen does not.
HYPFS_DIRECTORY = "/gnttab"


def detect(commandline: str) -> Maptrack:
    """Detect how the running hypervisor tracks mappings (`xenhypfs_readdir`).

    Args:
        commandline: Xen's command line.
    """
    patched = is_patched()
    if patched is None:
        return "unknown"
    if not patched:
        return "stock"
    enabled = command_line.read_boolean(commandline, "gnttab", "fast-maptrack")
    return "no-fast" if enabled is False else "fast"


def is_patched() -> bool | None:
    """Return whether the running hypervisor has the series in patches/; None without hypfs."""
    try:
        with HypFs() as hypfs:
            return HYPFS_DIRECTORY[1:] in hypfs.list("/")
    except BindingError:
        return None
