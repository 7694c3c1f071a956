"""xengt's Debian package, built from the working tree."""

import shutil
from pathlib import Path

from lablib import places
from lablib.artifacts.roots import Workbench, build_root
from lablib.cache import Cache, key, tree_parts
from lablib.errors import LabError
from lablib.output import step

PARTS = (
    *("pyproject.toml", "README.md", "LICENSE", "xengt", "xenlib_cffi"),
    *("deploy/debian", "deploy/prometheus", "deploy/grafana"),
)
COMPILED = {".so", ".o", ".pyc"}

BUILD = """
cd tree
export DEB_BUILD_OPTIONS="nocheck noautodbgsym parallel=$1"
dpkg-buildpackage --build=binary --no-sign
"""

# Without Xen's headers, xenlib_cffi._xen is left out: the package is checked for both extensions.
CHECK = """
for module in _histogram _xen; do
    dpkg-deb --contents xengt_*.deb | grep "xenlib_cffi/$module\\..*\\.so$" >/dev/null || {
        echo "xenlib_cffi.$module is missing in the package: see the compiler's message above"
        exit 1
    }
done
mv xengt_*.deb xengt.deb
"""


def files(tree: Path) -> list[Path]:
    """Return the files to package: those of PARTS except compiled ones.

    Args:
        tree: the top directory of the tree.
    """
    found: list[Path] = []
    for part in PARTS:
        path = tree / part
        inside = path.rglob("*") if path.is_dir() else [path]
        found += [f for f in inside if f.is_file() and f.suffix not in COMPILED]
    return sorted(found)


def assemble(tree: Path, target: Path) -> None:
    """Copy the files to package to a new directory, with `deploy/debian` as `debian`.

    Args:
        tree: the top directory of the tree.
        target: the new directory.

    Raises:
        FileExistsError: the directory exists.
    """
    target.mkdir(parents=True)
    for path in files(tree):
        inside = path.relative_to(tree)
        if inside.is_relative_to("deploy/debian"):
            inside = inside.relative_to("deploy")
        copy = target / inside
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)


def build(cache: Cache, jobs: int) -> Path:
    """Return the path of the .deb; build it if it is not in the cache.

    Args:
        cache: the cache.
        jobs: number of parallel compilers.

    Raises:
        LabError: the build failed, or an extension module is missing.
    """
    tree = places.TREE
    root = build_root(cache)
    names = files(tree)
    name = key(
        [root.parent.name.encode(), BUILD.encode(), CHECK.encode(), *tree_parts(names, tree)]
    )

    def make(entry: Path) -> None:
        log = cache.log("package")
        source = entry / "source"
        assemble(tree, source / "tree")
        with step("building xengt's Debian package"), Workbench(root, f"deb-{name}") as bench:
            bench.bring(source, log)
            try:
                bench.do(BUILD, log, str(jobs))
                bench.do(CHECK, log)
            except LabError as error:
                raise LabError(
                    "the build of xengt's Debian package failed", error.remedy, log
                ) from error
            bench.take(["xengt.deb"], entry)
        shutil.rmtree(source)

    return cache.entry("package", name, make) / "xengt.deb"
