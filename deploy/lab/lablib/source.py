"""Debian's Xen source, fetched through apt."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lablib.cache import Cache, key
from lablib.errors import LabError
from lablib.roots import ENVIRONMENT, Workbench, build_root, inside
from lablib.work import as_root, run, step

RELEASE = "4.20"


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


def source(cache: Cache) -> Path:
    """Return the newest 4.20 source with Debian's own patches applied.

    The entry holds `xen/`, the source, and `version`, Debian's word for it. A mirror may list a
    version whose .dsc, or whose every file, it does not have: the checksums are those of apt's
    signed index, so the tarballs alone are enough, and an older version serves when they are
    missing.

    Raises:
        LabError: no version's tarballs could be had.
    """
    root = build_root(cache)

    def make(entry: Path) -> None:
        with step("fetching Debian's Xen source (once)"):
            log = cache.log("source")
            run(as_root(["cp", "-L", "/etc/resolv.conf", root / "etc/resolv.conf"]), log)
            inside(root, "apt-get update -q", log)
            for version in _versions(root):
                with Workbench(root, "source") as bench:
                    if _unpack(bench, version, log):
                        # The tree keeps its links and modes: it is copied, not read.
                        run(as_root(["cp", "-a", bench.outer / "xen", entry / "xen"]), log)
                        (entry / "version").write_text(version)
                        return
            raise LabError(
                f"the mirror has the files of no Xen {RELEASE} source package",
                "set XENGT_MIRROR to an archive that carries Debian's sources",
                log,
            )

    return cache.entry("source", key([root.parent.name.encode()]), make)


def _asked(root: Path, *command: str) -> str:
    words = as_root(["chroot", root, *ENVIRONMENT, *command])
    return subprocess.run(words, check=False, capture_output=True, text=True).stdout


def _versions(root: Path) -> Iterator[str]:
    """Yield the index's versions of this release, newest first."""
    listed = parse_versions(_asked(root, "apt-cache", "showsrc", "xen"))
    found = [version for version in listed if version.startswith(RELEASE)]
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


def _unpack(bench: Workbench, version: str, log: Path) -> bool:
    listing = _asked(bench.root, "apt-get", "-qq", "--print-uris", "source", f"xen={version}")
    archives = [a for a in parse_uris(listing) if not a.name.endswith(".dsc")]
    try:
        for archive in archives:
            script = '/usr/lib/apt/apt-helper -oAPT::Sandbox::User=root download-file "$@"'
            bench.do(script, log, archive.uri, archive.name, archive.checksum)
        bench.do(
            "mkdir xen\n"
            "tar -xf *.orig.tar.* --strip-components=1 -C xen\n"
            "tar -xf *.debian.tar.* -C xen\n"
            "for patch in $(sed 's/#.*//' xen/debian/patches/series); do\n"
            '    patch -s --strip=1 --directory=xen < "xen/debian/patches/$patch"\n'
            "done",
            log,
        )
    except LabError:
        return False
    return bool(archives)
