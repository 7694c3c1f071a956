"""xengt as a Debian package, built from this tree as it stands."""

import shutil
from pathlib import Path

from lablib import places
from lablib.artifacts.roots import Workbench, build_root
from lablib.cache import Cache, key, tree_parts
from lablib.errors import LabError
from lablib.output import step

PARTS = ("pyproject.toml", "README.md", "LICENSE", "xengt", "xenlib_cffi", "deploy/debian")
COMPILED = {".so", ".o", ".pyc"}

BUILD = """
mv tree/deploy/debian tree/debian
cd tree
export DEB_BUILD_OPTIONS="nocheck noautodbgsym parallel=$1"
dpkg-buildpackage --build=binary --no-sign
"""

# setuptools leaves out an extension that does not compile; a package without them is no package.
CHECK = """
for module in _histogram _xen; do
    dpkg-deb --contents xengt_*.deb | grep "xenlib_cffi/$module\\..*\\.so$" >/dev/null || {
        echo "the package lacks xenlib_cffi.$module: see the compiler's message above"
        exit 1
    }
done
mv xengt_*.deb xengt.deb
"""


def files(tree: Path) -> list[Path]:
    """Return what is packaged: the tree's parts, less what a compiler left there."""
    found: list[Path] = []
    for part in PARTS:
        path = tree / part
        inside = path.rglob("*") if path.is_dir() else [path]
        found += [f for f in inside if f.is_file() and f.suffix not in COMPILED]
    return sorted(found)


def build(cache: Cache, jobs: int) -> Path:
    """Return the path of the .deb.

    Args:
        cache: where it is kept.
        jobs: compilers at once.

    Raises:
        LabError: it does not build, or lacks a compiled module.
    """
    tree = places.TREE
    root = build_root(cache)
    names = files(tree)
    name = key(
        [root.parent.name.encode(), BUILD.encode(), CHECK.encode(), *tree_parts(names, tree)]
    )

    def make(entry: Path) -> None:
        log = cache.log("package")
        given = entry / "given"
        for path in names:
            target = given / "tree" / path.relative_to(tree)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        with step("building xengt's Debian package"), Workbench(root, f"deb-{name}") as bench:
            bench.bring(given, log)
            try:
                bench.do(BUILD, log, str(jobs))
                bench.do(CHECK, log)
            except LabError as error:
                raise LabError(
                    "xengt's Debian package does not build", error.remedy, log
                ) from error
            bench.take(["xengt.deb"], entry)
        shutil.rmtree(given)

    return cache.entry("package", name, make) / "xengt.deb"
