"""Paths: the parts of this tree and the user's cache."""

import os
from pathlib import Path

LAB = Path(__file__).resolve().parent.parent
TREE = LAB.parent.parent
PATCHES = TREE / "patches/xen-4.20"
KERNEL_PATCHES = TREE / "patches/linux-6.12"


def cache_root() -> Path:
    """Return the cache's directory: xengt/ in $XDG_CACHE_HOME, by default ~/.cache/xengt."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "xengt"
