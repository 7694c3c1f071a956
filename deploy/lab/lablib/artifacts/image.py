"""The disk image dom0 boots from: the Debian root, and xengt's package installed in it.

The package is that of the day the image was made. A change to the tree does not need another image,
unless it concerns what runs in the guest, which boots from the image as well: `lab up` installs the
current package in dom0.
"""

import ast
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from lablib import places
from lablib.artifacts import initramfs
from lablib.artifacts.roots import dom0_root, inside
from lablib.cache import Cache, key, remove, tree_parts
from lablib.commands import as_root, run
from lablib.output import step

SIZE = 2 << 30
"""Bytes of the file system. The file is sparse: what is free in it takes no room."""

MAKE = ("mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal,^metadata_csum")
"""No journal, no checksums: the disk is thrown away after each run."""

GRANTER = "xengt/cli/share.py"
"""What the guest runs: `xengt share`."""

INSTALL = """
dpkg --install /xengt.deb
rm /xengt.deb
# What is counted in dom0 is not to have the agent's in it: who wants it starts it.
systemctl disable xengt.service
"""


def build(cache: Cache, package: Path) -> Path:
    """Return the directory with `disk.img`, `vmlinuz` and `initramfs`.

    Beside them, `package` has the key of the package in the image, and `id` tells the image from
    others made by the same recipe, whose file systems differ.

    Args:
        cache: where it is kept.
        package: xengt's .deb, installed if the image has to be made.

    Raises:
        LabError: the package does not install on Debian 13's own libraries.
    """
    base = dom0_root(cache)
    recipe = (INSTALL.encode(), " ".join(MAKE).encode())
    granter = tree_parts(imported(places.TREE, GRANTER), places.TREE)
    name = key([*ingredients(base), *granter, *recipe])

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
        (entry / "package").write_text(package.parent.name)
        (entry / "id").write_text(uuid.uuid4().hex)

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


def imported(tree: Path, module: str) -> list[Path]:
    """Return a module's file and those of the modules of the same tree that it imports.

    Args:
        tree: the directory that module names are relative to.
        module: path of the first module, relative to `tree`.
    """
    found: set[Path] = set()
    open_ = [tree / module]
    while open_:
        path = open_.pop()
        if path in found:
            continue
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text())):
            open_ += _files(tree, node)
    return sorted(found)


def _files(tree: Path, node: ast.AST) -> list[Path]:
    """Return the files of the tree that an import statement loads."""
    match node:
        case ast.ImportFrom(module=str(name), names=names, level=0):
            wanted = [name, *(f"{name}.{alias.name}" for alias in names)]
        case ast.Import(names=names):
            wanted = [alias.name for alias in names]
        case _:
            return []
    paths = [tree / name.replace(".", "/") for name in wanted]
    candidates = [path.with_suffix(".py") for path in paths]
    candidates += [path / "__init__.py" for path in paths]
    return [path for path in candidates if path.is_file()]
