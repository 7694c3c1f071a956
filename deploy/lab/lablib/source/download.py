"""Download files of Debian source packages from an archive's pool and verify their checksums."""

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
"""Downloads a file with the proxies and certificates of apt's configuration."""

CONTENT = "content"
"""The name of a file in its cache entry; the entry is named after the file's checksum."""


@dataclass(frozen=True)
class File:
    """One file of a source package.

    Attributes:
        name: its file name in the pool.
        sha256: its SHA-256 sum in hexadecimal.
    """

    name: str
    sha256: str


class UnavailableError(LabError):
    """No archive has a file with the right checksum.

    Args:
        what: one sentence: what failed.
        responses: one line per location: the URI and the response.
    """

    def __init__(self, what: str, responses: Sequence[str]) -> None:
        """Store the responses as details; an error may combine those of several versions."""
        super().__init__(what, "set XENGT_MIRROR to an archive that has it", details=responses)


def locations(package: str, file: str, archives: Mirrors) -> list[str]:
    """Return the URIs of a file of a source package.

    Args:
        package: the source package's name.
        file: the file's name.
        archives: the Debian archives.
    """
    name = urllib.parse.quote(file)
    uris = [f"{archives.archive}/pool/main/{package[0]}/{package}/{name}"]
    if archives.security:
        uris.append(f"{archives.security}/pool/updates/main/{package[0]}/{package}/{name}")
    return uris


def download(cache: Cache, package: str, file: File) -> Path:
    """Return the path of a file; download it if it is not in the cache.

    Args:
        cache: of downloaded files, by checksum.
        package: the source package of the file.
        file: its name and checksum.

    Raises:
        UnavailableError: no archive has the file with this checksum.
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
                response = f"rejected: the SHA-256 sum is {actual}, not {file.sha256}"
            responses.append(f"{location}: {response}")
        raise UnavailableError(f"{file.name} could not be downloaded", responses)

    return cache.entry("download", file.sha256, make) / CONTENT


def _fetch(location: str, target: Path) -> str | None:
    """Download one file; return None, or the archive's response if the download failed."""
    words = [HELPER, *TIME_LIMITS]
    if os.geteuid() == 0:  # the user _apt cannot write to the cache
        words.append("-oAPT::Sandbox::User=root")
    done = subprocess.run(
        [*words, "download-file", location, str(target)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    if done.returncode == 0 and target.is_file():
        if target.is_symlink():  # apt creates a link for a file: URI
            original = target.resolve()
            target.unlink()
            shutil.copyfile(original, target)
        return None
    lines = [line for line in done.stderr.splitlines() if line.startswith("E: ")]
    response = lines[0] if lines else f"{HELPER} exited with {done.returncode}"
    return " ".join(response.removeprefix("E: Failed to fetch").replace(location, "").split())


def sha256(path: Path) -> str:
    """Return a file's SHA-256 sum in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
