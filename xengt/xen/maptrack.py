"""Which maptrack the running hypervisor keeps: stock Xen's, or fast entries beside it."""

from typing import Literal

from xengt.xen import command_line
from xenlib_cffi.errors import BindingError
from xenlib_cffi.hypfs import HypFs

#: `no-fast`: the patched hypervisor told to do as stock; `unknown`: no hypfs to tell by.
Maptrack = Literal["stock", "fast", "no-fast", "unknown"]
WORDS: dict[Maptrack, str] = {
    "stock": "stock: every mapping has an entry of the mapper's maptrack table",
    "fast": "fast: the first two mappings of a reference are in the granter's own table",
    "no-fast": "patched, with fast entries off (Xen's command line: gnttab=no-fast-maptrack)",
    "unknown": "this Xen has no hypfs to tell by",
}
#: For the name of a side of a comparison.
NAMES: dict[Maptrack | None, str] = {
    "stock": "stock maptrack",
    "fast": "fast maptrack",
    "no-fast": "fast maptrack off",
}
#: What the patched hypervisor has in hypfs, and stock has not.
TREE = "/gnttab"


def running(words: str) -> Maptrack:
    """Tell which maptrack the running hypervisor keeps (`xenhypfs_readdir`).

    Args:
        words: Xen's command line.
    """
    try:
        with HypFs() as hypfs:
            patched = TREE[1:] in hypfs.list("/")
    except BindingError:
        return "unknown"
    if not patched:
        return "stock"
    return "no-fast" if command_line.switch(words, "gnttab", "fast-maptrack") is False else "fast"
