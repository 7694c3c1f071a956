"""prometheus and promtool from Debian's packages, extracted instead of installed.

Installing the package would start a daemon.
"""

import functools
import os
import subprocess
from pathlib import Path

from lablib import places
from lablib.build_process import as_root
from lablib.cache import Cache, key

#: Package names, also those of the programs. Since Debian 13, promtool is a separate package that
#: prometheus depends on.
SERVER, TOOL = "prometheus", "promtool"


def _stdout(*words: str, cwd: Path | None = None) -> str:
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, cwd=cwd).stdout


def _apt() -> list[str]:
    # As root, apt would download as the user _apt, who cannot write to the cache.
    return ["apt-get", "-q", *(["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else [])]


def _available() -> str:
    """Return one line per package that apt would download: 'URI' FILE SIZE CHECKSUM."""
    if SERVER not in _stdout("apt-cache", "pkgnames", SERVER).split():
        subprocess.run(as_root(["apt-get", "-q", "update"]), check=True, stdout=subprocess.DEVNULL)
    names = [SERVER]
    if TOOL in _stdout("apt-cache", "depends", SERVER).split():
        names.append(TOOL)
    return _stdout(*_apt(), "--print-uris", "download", *names)


@functools.cache
def programs() -> Path:
    """Return the directory of both programs, extracted once for each version that apt offers."""
    packages = [line.split() for line in _available().splitlines()]

    def make(entry: Path) -> None:
        _stdout(*_apt(), "download", *(file.split("_")[0] for _, file, _, _ in packages), cwd=entry)
        for package in entry.glob("*.deb"):
            _stdout("dpkg-deb", "--extract", str(package), str(entry))
            package.unlink()

    checksums = [checksum.encode() for *_, checksum in packages]
    return Cache(places.cache_root()).entry("prometheus", key(checksums), make) / "usr" / "bin"


def promtool(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run promtool; `stdout` of the result has both stdout and stderr.

    Args:
        arguments: of promtool.
        stdin: input of promtool.
    """
    return subprocess.run(
        [programs() / TOOL, *arguments],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        input=stdin,
    )
