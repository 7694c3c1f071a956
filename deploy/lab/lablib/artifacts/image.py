"""The disk image of dom0 and the guest: the Debian root with xengt's package installed.

The image contains the package of the time when it was made, and `session.up` installs the current
package in dom0. A change to the tree therefore needs a new image only if it concerns the program
that runs in the guest.
"""

import ast
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from lablib import places
from lablib.artifacts import initramfs
from lablib.artifacts.roots import dom0_root, run_in_root
from lablib.build_process import as_root, run
from lablib.cache import Cache, key, remove, tree_parts
from lablib.output import step

SIZE = 2 << 30
"""Size of the file system in bytes; the file is sparse."""

MAKE = ("mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal,^metadata_csum")
"""Without journal and checksums, as writes are discarded at the end of a lab."""

GRANTER = "xengt/cli/share.py"
"""The program that runs in the guest: `xengt share`."""

INSTALL = """
dpkg --install /xengt.deb
rm /xengt.deb
# Measurements in dom0 must not include the agent: tests that need it start it.
systemctl disable xengt.service
"""


def build(cache: Cache, package: Path) -> Path:
    """Return the directory with `disk.img`, `vmlinuz` and `initramfs`.

    The file `package` contains the key of the package in the image. The file `id` identifies the
    image among images with the same inputs, as their file systems differ.

    Args:
        cache: the cache.
        package: xengt's .deb, which is installed if a new image is made.

    Raises:
        LabError: the package cannot be installed in dom0's root.
    """
    base = dom0_root(cache)
    recipe = (INSTALL.encode(), " ".join(MAKE).encode())
    granter = tree_parts(imported_files(places.TREE, GRANTER), places.TREE)
    name = key([*root_inputs(base), *granter, *recipe])

    def make(entry: Path) -> None:
        log = cache.log("image")
        root = entry / "root"
        with step("making the disk image of dom0"):
            make_root(entry, base, log)
            run(as_root(["cp", package, root / "xengt.deb"]), log)
            run_in_root(root, INSTALL, log)
            # The guest boots from the same two files: xl in dom0 reads them.
            run(as_root(["cp", entry / "vmlinuz", entry / "initramfs", root / "boot"]), log)
            disk = entry / "disk.img"
            disk.touch()
            os.truncate(disk, SIZE)
            run(as_root([*MAKE, "-d", root, disk]), log)
            remove(root)
        (entry / "package").write_text(package.parent.name)
        (entry / "id").write_text(uuid.uuid4().hex)

    return cache.entry("image", name, make)


def root_inputs(base: Path) -> Iterator[bytes]:
    """Yield the inputs of `make_root`, for the cache key.

    Args:
        base: from `dom0_root`.
    """
    recipe = places.LAB / "dom0"
    yield base.parent.name.encode()
    yield " ".join(initramfs.DRIVERS).encode()
    yield from tree_parts([path for path in recipe.rglob("*") if path.is_file()], recipe)


def make_root(entry: Path, base: Path, log: Path) -> None:
    """Make dom0's `root` directory, and the `vmlinuz` and `initramfs` that it boots from.

    Args:
        entry: the directory in which they are made.
        base: from `dom0_root`.
        log: the file for the output of the commands.
    """
    root = entry / "root"
    recipe = places.LAB / "dom0"
    run(as_root(["cp", "-a", "--reflink=auto", base, root]), log)
    run(as_root([recipe / "customize", root]), log)
    kernel = next((root / "boot").glob("vmlinuz-*"))
    (entry / "vmlinuz").write_bytes(kernel.read_bytes())
    (entry / "initramfs").write_bytes(initramfs.build(root, recipe / "initramfs-init"))


def imported_files(tree: Path, module: str) -> list[Path]:
    """Return the files of a module and of all modules of the tree that it imports, recursively.

    Args:
        tree: the directory of the top-level packages.
        module: path of the module, relative to `tree`.
    """
    found: set[Path] = set()
    pending = [tree / module]
    while pending:
        path = pending.pop()
        if path in found:
            continue
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text())):
            pending += _files(tree, node)
    return sorted(found)


def _files(tree: Path, node: ast.AST) -> list[Path]:
    """Return the files of the tree that an import statement loads; [] for any other statement."""
    match node:
        case ast.ImportFrom(module=str(name), names=names, level=0):
            modules = [name, *(f"{name}.{alias.name}" for alias in names)]
        case ast.Import(names=names):
            modules = [alias.name for alias in names]
        case _:
            return []
    paths = [tree / module.replace(".", "/") for module in modules]
    candidates = [path.with_suffix(".py") for path in paths]
    candidates += [path / "__init__.py" for path in paths]
    return [path for path in candidates if path.is_file()]
