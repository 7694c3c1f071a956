"""Debian's own prometheus and promtool, without the daemon that installing them starts."""

import functools
import os
import subprocess
from pathlib import Path

from lablib import places
from lablib.cache import Cache, key
from lablib.commands import as_root

#: from Debian 13 on, promtool is in a package of its own, which the other one depends on
SERVER, TOOL = "prometheus", "promtool"


def _said(*words: str, cwd: Path | None = None) -> str:
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, cwd=cwd)
    return done.stdout


def _apt() -> list[str]:
    # As root, apt would download as a user of its own, who may not write here.
    return ["apt-get", "-q", *(["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else [])]


def _offered() -> str:
    """What apt would download: a line a package, with its checksum."""
    if SERVER not in _said("apt-cache", "pkgnames", SERVER).split():
        subprocess.run(as_root(["apt-get", "-q", "update"]), check=True, stdout=subprocess.DEVNULL)
    names = [SERVER]
    if TOOL in _said("apt-cache", "depends", SERVER).split():
        names.append(TOOL)
    return _said(*_apt(), "--print-uris", "download", *names)


@functools.cache
def programs() -> Path:
    """Return the directory that has both, unpacked once for each version that apt offers."""
    # 'URI' FILE SIZE CHECKSUM
    offered = [line.split() for line in _offered().splitlines()]

    def make(entry: Path) -> None:
        _said(*_apt(), "download", *(file.split("_")[0] for _, file, _, _ in offered), cwd=entry)
        for package in entry.glob("*.deb"):
            _said("dpkg-deb", "--extract", str(package), str(entry))
            package.unlink()

    checksums = [checksum.encode() for *_, checksum in offered]
    return Cache(places.cache_root()).entry("prometheus", key(checksums), make) / "usr" / "bin"


def promtool(*words: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run promtool; what it said, on stdout and stderr, is in stdout."""
    return subprocess.run(
        [programs() / TOOL, *words],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        input=given,
    )
