"""Where things are: this tree's parts, and the user's cache."""

import os
from pathlib import Path

LAB = Path(__file__).resolve().parent.parent
TREE = LAB.parent.parent
PATCHES = TREE / "patches/xen-4.20"
KERNEL_PATCHES = TREE / "patches/linux-6.12"


def cache_root() -> Path:
    """Return ~/.cache/xengt, wherever the user's cache is."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "xengt"
