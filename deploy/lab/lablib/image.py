"""The disk image dom0 boots from: the Debian root, and this tree's package installed in it."""

import os
from pathlib import Path

from lablib import initramfs, places
from lablib.cache import Cache, key, remove
from lablib.roots import dom0_root, inside
from lablib.work import as_root, run, step

SIZE = 2 << 30
"""Bytes of the file system. The file is sparse: what is free in it takes no room."""


def build(cache: Cache, package: Path | None) -> Path:
    """Return the directory with `disk.img`, `vmlinuz` and `initramfs`.

    Args:
        cache: where it is kept.
        package: the .deb to install; without one, dom0 has no xengt.

    Raises:
        LabError: the package does not install on Debian 13's own libraries.
    """
    base = dom0_root(cache)
    name = key([base.parent.name.encode(), package.read_bytes() if package else b"", str(SIZE).encode()])

    def make(entry: Path) -> None:
        log = cache.log("image")
        root = entry / "root"
        with step("making the disk of dom0"):
            run(as_root(["cp", "-a", "--reflink=auto", base, root]), log)
            if package is not None:
                run(as_root(["cp", package, root / "xengt.deb"]), log)
                inside(root, "dpkg --install /xengt.deb; rm /xengt.deb", log)
            disk = entry / "disk.img"
            disk.touch()
            os.truncate(disk, SIZE)
            # No journal and no lazy initialisation: the disk is thrown away after each run.
            options = ["-q", "-F", "-t", "ext4", "-O", "^has_journal", "-E", "lazy_itable_init=1"]
            run(as_root(["mke2fs", *options, "-d", root, disk]), log)
            kernel = next((root / "boot").glob("vmlinuz-*"))
            (entry / "vmlinuz").write_bytes(kernel.read_bytes())
            script = places.LAB / "dom0/initramfs-init"
            (entry / "initramfs").write_bytes(initramfs.build(root, script))
            remove(root)

    return cache.entry("image", name, make)
