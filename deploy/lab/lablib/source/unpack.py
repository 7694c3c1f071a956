"""Source directories in the cache: Debian's source with Debian's patches, or a local source."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lablib.build_process import run
from lablib.cache import Cache, key, tree_parts
from lablib.errors import EXIT_USAGE, LabError
from lablib.output import step
from lablib.source.download import File, download, sha256

UNPACK = """
mkdir "$1"
for file in *.orig.tar.*; do tar -xf "$file" --strip-components=1 -C "$1"; done
for file in *.debian.tar.*; do tar -xf "$file" -C "$1"; done
for patch in $(sed 's/#.*//' "$1/debian/patches/series"); do
    patch -s --strip=1 --directory="$1" < "$1/debian/patches/$patch"
done
"""

TYPICAL_FILES = {"xen": "xen/common/grant_table.c", "linux": "drivers/xen/gntdev.c"}
"""A file that identifies the source tree of a package."""


def unpacked(cache: Cache, package: str, version: str, files: Sequence[File]) -> Path:
    """Return the directory that contains Debian's source with Debian's patches applied.

    Args:
        cache: of the source and of its files.
        package: the source package, and the name of the subdirectory with its source.
        version: Debian's version, for messages.
        files: the package's tarballs.

    Raises:
        UnavailableError: a file cannot be downloaded.
        LabError: the files cannot be unpacked.
    """

    def make(entry: Path) -> None:
        with step(f"downloading and unpacking Debian's {package} {version} (once)"):
            paths = [download(cache, package, file) for file in files]
            for file, path in zip(files, paths, strict=True):
                (entry / file.name).symlink_to(path)
            try:
                run(["sh", "-euc", UNPACK, "sh", package], cache.log("source"), cwd=entry)
            except LabError as error:
                what = f"Debian's {package} {version} cannot be unpacked"
                raise LabError(what, error.remedy, error.log) from error
            for file in files:
                (entry / file.name).unlink()

    parts = [UNPACK, package, *(file.sha256 for file in files)]
    return cache.entry("source", key(part.encode() for part in parts), make)


def local_source(cache: Cache, package: str, option: str, path: Path) -> Path:
    """Return the directory that contains a copy of a local source in its current state.

    Args:
        cache: of copies, by content.
        package: the package, and the name of the subdirectory with the copy.
        option: the lab's option for the path, for messages.
        path: a directory, or a tarball that contains one directory. Files that git ignores are not
            copied.

    Raises:
        LabError: the path cannot be read, or is not a source of this package.
    """
    path = path.absolute()
    try:
        if path.is_dir():
            _check_package(path, package, f"{option} {path}")
            names = _files(path)
            links = [name for name in names if name.is_symlink()]
            files = [name for name in names if name.is_file()]
            targets = (os.fsencode(link.readlink()) for link in links)
            content = [key(tree_parts(files, path)).encode(), *targets]
        else:
            names, content = [], [sha256(path).encode()]
    except OSError as error:
        what = f"{option} {path} cannot be read: {error.filename}: {error.strerror}"
        raise LabError(what, exit_code=EXIT_USAGE) from error

    def make(entry: Path) -> None:
        target = entry / package
        target.mkdir()
        log = cache.log("local-source")
        if path.is_dir():
            listed = b"\0".join(os.fsencode(name.relative_to(path)) for name in names)
            (entry / "names").write_bytes(listed)
            run(["tar", "-C", path, "--null", "-T", entry / "names", "-cf", entry / "tar"], log)
            run(["tar", "-xf", entry / "tar", "-C", target], log)
            for name in ("names", "tar"):
                (entry / name).unlink()
            return
        try:
            run(["tar", "-xf", path, "--strip-components=1", "-C", target], log)
        except LabError as error:
            what = f"{option} {path} is not a tarball that tar can read"
            raise LabError(what, error.remedy, log, exit_code=EXIT_USAGE) from error
        _check_package(target, package, f"{option} {path}")

    return cache.entry("local-source", key([package.encode(), *content]), make)


def _check_package(tree: Path, package: str, name: str) -> None:
    if not (tree / TYPICAL_FILES[package]).is_file():
        raise LabError(
            f"{name} is not a source of {package}: it has no {TYPICAL_FILES[package]}",
            "specify the top directory of a source tree, or a tarball of it",
            exit_code=EXIT_USAGE,
        )


def _files(tree: Path) -> list[Path]:
    """Return the files and links of a tree, except those that git ignores."""
    words = ["git", "-C", str(tree), "ls-files", "-z", "-co", "--exclude-standard"]
    found = [path for path in tree.rglob("*") if ".git" not in path.relative_to(tree).parts]
    if (tree / ".git").exists() and shutil.which("git"):
        done = subprocess.run(words, check=False, capture_output=True)
        if done.returncode == 0:  # git fails in a directory of another user: copy all files
            found = [tree / name for name in os.fsdecode(done.stdout).split("\0") if name]
    return sorted(path for path in found if path.is_file() or path.is_symlink())
