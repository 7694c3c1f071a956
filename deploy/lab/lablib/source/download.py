"""Files of Debian's source packages, by name from an archive's pool, verified here."""

import hashlib
import os
import shutil
import subprocess
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lablib.cache import Cache
from lablib.errors import LabError
from lablib.source.apt import TIME_LIMITS, Mirrors, mirrors

HELPER = "/usr/lib/apt/apt-helper"
"""Downloads as apt does: through the proxies, with the certificates of apt's configuration."""

CONTENT = "content"
"""The name a file has in the cache: its entry is named after its checksum."""


@dataclass(frozen=True)
class File:
    """One file of a source package.

    Attributes:
        name: its file name in the pool.
        sha256: its checksum, in hexadecimal.
    """

    name: str
    sha256: str


class UnavailableError(LabError):
    """A file is not to be had anywhere.

    Args:
        what: one sentence, with the thing that failed.
        responses: a line for each location tried: the location and its response.
    """

    def __init__(self, what: str, responses: Sequence[str]) -> None:
        """Keep the responses as details: those of several versions are shown together."""
        super().__init__(what, "set XENGT_MIRROR to an archive that has it", details=responses)


def locations(package: str, file: str, found: Mirrors) -> list[str]:
    """Return where archives keep a file of a source package.

    Args:
        package: the source package's name.
        file: the file's name.
        found: the archives.
    """
    name = urllib.parse.quote(file)
    places = [f"{found.archive}/pool/main/{package[0]}/{package}/{name}"]
    if found.security:
        places.append(f"{found.security}/pool/updates/main/{package[0]}/{package}/{name}")
    return places


def download(cache: Cache, package: str, file: File) -> Path:
    """Return the path of a file with the right checksum, from the cache or an archive.

    Args:
        cache: keeps the file by its checksum.
        package: the source package it belongs to.
        file: its name and checksum.

    Raises:
        UnavailableError: no location has the file, or what they have has another checksum.
    """

    def make(entry: Path) -> None:
        responses = []
        for location in locations(package, file.name, mirrors()):
            response = _fetch(location, entry / CONTENT)
            if response is None:
                actual = sha256(entry / CONTENT)
                if actual == file.sha256:
                    return
                (entry / CONTENT).unlink()
                response = f"rejected: its SHA-256 sum is {actual}, not {file.sha256}"
            responses.append(f"{location}: {response}")
        raise UnavailableError(f"{file.name} could not be downloaded", responses)

    return cache.entry("download", file.sha256, make) / CONTENT


def _fetch(location: str, target: Path) -> str | None:
    """Download one file; return the archive's response if there is no file."""
    words = [HELPER, *TIME_LIMITS]
    if os.geteuid() == 0:  # apt's own user cannot write into the cache
        words.append("-oAPT::Sandbox::User=root")
    done = subprocess.run(
        [*words, "download-file", location, str(target)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    if done.returncode == 0 and target.is_file():
        if target.is_symlink():  # apt links to the files of an archive on this machine
            original = target.resolve()
            target.unlink()
            shutil.copyfile(original, target)
        return None
    lines = [line for line in done.stderr.splitlines() if line.startswith("E: ")]
    said = lines[0] if lines else f"{HELPER} exited with {done.returncode}"
    return " ".join(said.removeprefix("E: Failed to fetch").replace(location, "").split())


def sha256(path: Path) -> str:
    """Return a file's SHA-256 sum in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
