"""The disk image dom0 boots from: the Debian root, and this tree's package installed in it."""

import os
from collections.abc import Iterator
from pathlib import Path

from lablib import initramfs, places
from lablib.cache import Cache, key, remove, tree_parts
from lablib.roots import dom0_root, inside
from lablib.work import as_root, run, step

SIZE = 2 << 30
"""Bytes of the file system. The file is sparse: what is free in it takes no room."""

MAKE = ("mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal,^metadata_csum")
"""No journal, no checksums: the disk is thrown away after each run."""

INSTALL = """
dpkg --install /xengt.deb
rm /xengt.deb
# What is counted in dom0 is not to have the agent's in it: who wants it starts it.
systemctl disable xengt.service
"""


def build(cache: Cache, package: Path) -> Path:
    """Return the directory with `disk.img`, `vmlinuz` and `initramfs`.

    Args:
        cache: where it is kept.
        package: xengt's .deb.

    Raises:
        LabError: the package does not install on Debian 13's own libraries.
    """
    base = dom0_root(cache)
    recipe = (INSTALL.encode(), " ".join(MAKE).encode())
    name = key([*ingredients(base), package.read_bytes(), *recipe])

    def make(entry: Path) -> None:
        log = cache.log("image")
        root = entry / "root"
        with step("making the disk of dom0"):
            fill(entry, base, log)
            run(as_root(["cp", package, root / "xengt.deb"]), log)
            inside(root, INSTALL, log)
            # A guest boots from the same two files: dom0 has them as well.
            run(as_root(["cp", entry / "vmlinuz", entry / "initramfs", root / "boot"]), log)
            disk = entry / "disk.img"
            disk.touch()
            os.truncate(disk, SIZE)
            run(as_root([*MAKE, "-d", root, disk]), log)
            remove(root)

    return cache.entry("image", name, make)


def ingredients(base: Path) -> Iterator[bytes]:
    """Yield what `fill` makes a root from.

    Args:
        base: from `dom0_root`.
    """
    recipe = places.LAB / "dom0"
    yield base.parent.name.encode()
    yield " ".join(initramfs.DRIVERS).encode()
    yield from tree_parts([path for path in recipe.rglob("*") if path.is_file()], recipe)


def fill(entry: Path, base: Path, log: Path) -> None:
    """Make dom0's `root`, and beside it the `vmlinuz` and `initramfs` it boots from.

    Args:
        entry: where to make them.
        base: from `dom0_root`.
        log: takes what the steps say.
    """
    root = entry / "root"
    recipe = places.LAB / "dom0"
    run(as_root(["cp", "-a", "--reflink=auto", base, root]), log)
    run(as_root([recipe / "customize", root]), log)
    kernel = next((root / "boot").glob("vmlinuz-*"))
    (entry / "vmlinuz").write_bytes(kernel.read_bytes())
    (entry / "initramfs").write_bytes(initramfs.build(root, recipe / "initramfs-init"))
