"""Debian's source of Xen and of Linux, fetched through apt."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lablib.cache import Cache, key
from lablib.errors import LabError
from lablib.roots import ENVIRONMENT, Workbench, build_root, inside
from lablib.work import as_root, run, step


@dataclass(frozen=True)
class Package:
    """What is asked for of Debian's source packages.

    Attributes:
        name: of the package, and of the directory it is unpacked in.
        called: what it is to its users.
        release: the begin of its version.
        kind: what it is kept as.
    """

    name: str
    called: str
    release: str
    kind: str


XEN = Package("xen", "Xen", "4.20", "source")
LINUX = Package("linux", "Linux", "6.12", "kernel-source")


@dataclass(frozen=True)
class Archive:
    """One file of a source package, as apt's signed index describes it."""

    uri: str
    name: str
    checksum: str


def parse_uris(text: str) -> list[Archive]:
    """Read `apt-get --print-uris source`: quoted URI, name, size, checksum."""
    lines = re.findall(r"^'([^']+)' (\S+) \d+ (\S+:\S+)", text, re.MULTILINE)
    return [Archive(*line) for line in lines]


def parse_versions(text: str) -> list[str]:
    """Return the distinct versions `apt-cache showsrc` prints."""
    return list(dict.fromkeys(re.findall(r"^Version: (\S+)", text, re.MULTILINE)))


def source(cache: Cache, package: Package = XEN) -> Path:
    """Return the newest source of the release with Debian's own patches applied.

    The entry holds the source, in a directory called as the package, and `version`, Debian's word
    for it. A mirror may list a version whose .dsc, or whose every file, it does not have: the
    checksums are those of apt's signed index, so the tarballs alone are enough, and an older
    version serves when they are missing.

    Raises:
        LabError: no version's tarballs could be had.
    """
    root = build_root(cache)

    def make(entry: Path) -> None:
        with step(f"fetching Debian's {package.called} source (once)"):
            log = cache.log(package.kind)
            run(as_root(["cp", "-L", "/etc/resolv.conf", root / "etc/resolv.conf"]), log)
            inside(root, "apt-get update -q", log)
            for version in _versions(root, package):
                with Workbench(root, package.kind) as bench:
                    if _unpack(bench, package, version, log):
                        # The tree keeps its links and modes: it is moved, not read.
                        run(as_root(["mv", bench.outer / package.name, entry]), log)
                        (entry / "version").write_text(version)
                        return
            raise LabError(
                f"the mirror has the files of no {package.called} {package.release} source package",
                "set XENGT_MIRROR to an archive that carries Debian's sources",
                log,
            )

    return cache.entry(package.kind, key([root.parent.name.encode()]), make)


def _asked(root: Path, *command: str) -> str:
    words = as_root(["chroot", root, *ENVIRONMENT, *command])
    return subprocess.run(words, check=False, capture_output=True, text=True).stdout


def _versions(root: Path, package: Package) -> Iterator[str]:
    """Yield the index's versions of this release, newest first."""
    listed = parse_versions(_asked(root, "apt-cache", "showsrc", package.name))
    found = [version for version in listed if version.startswith(f"{package.release}.")]
    ordered: list[str] = []
    for version in found:
        place = 0
        while place < len(ordered) and not _newer(root, version, ordered[place]):
            place += 1
        ordered.insert(place, version)
    yield from ordered


def _newer(root: Path, one: str, other: str) -> bool:
    words = as_root(["chroot", root, *ENVIRONMENT, "dpkg", "--compare-versions", one, "gt", other])
    return subprocess.run(words, check=False).returncode == 0


def _unpack(bench: Workbench, package: Package, version: str, log: Path) -> bool:
    wanted = f"{package.name}={version}"
    listing = _asked(bench.root, "apt-get", "-qq", "--print-uris", "source", wanted)
    archives = [a for a in parse_uris(listing) if not a.name.endswith(".dsc")]
    try:
        for archive in archives:
            script = '/usr/lib/apt/apt-helper -oAPT::Sandbox::User=root download-file "$@"'
            bench.do(script, log, archive.uri, archive.name, archive.checksum)
        bench.do(
            'mkdir "$1"\n'
            'tar -xf *.orig.tar.* --strip-components=1 -C "$1"\n'
            'tar -xf *.debian.tar.* -C "$1"\n'
            "for patch in $(sed 's/#.*//' \"$1/debian/patches/series\"); do\n"
            '    patch -s --strip=1 --directory="$1" < "$1/debian/patches/$patch"\n'
            "done",
            log,
            package.name,
        )
    except LabError:
        return False
    return bool(archives)
