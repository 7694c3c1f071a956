"""The versions of a source package in Debian's signed index, read with apt."""

import os
import re
import subprocess

from lablib.cache import Cache
from lablib.errors import LabError
from lablib.output import step
from lablib.source import apt

TRUST = "signed-by=/usr/share/keyrings/debian-archive-keyring.gpg"
"""Option of sources.list: the keys, of debian-archive-keyring, one of which must sign the index."""


def versions(cache: Cache, package: str) -> dict[str, dict[str, str]]:
    """Return the SHA-256 sums by file name, by version of a source package.

    The index is in the cache, separate from apt's own, and updated by each call.

    Args:
        cache: the cache.
        package: the source package's name.

    Raises:
        LabError: apt cannot download the index, or Debian has not signed it.
    """
    with cache.locked("index"):
        home = cache.root / "index"
        (home / "lists/partial").mkdir(parents=True, exist_ok=True)
        (home / "cache").mkdir(exist_ok=True)
        lines = [line for line in apt.mirrors().lines() if line.startswith("deb-src ")]
        trusted = [line.replace("deb-src", f"deb-src [{TRUST}]", 1) for line in lines]
        (home / "sources.list").write_text("\n".join(trusted) + "\n")
        options = [
            f"-oDir::State={home}",
            f"-oDir::Cache={home / 'cache'}",
            f"-oDir::Etc::SourceList={home / 'sources.list'}",
            "-oDir::Etc::SourceParts=/dev/null",
            "-oAcquire::AllowInsecureRepositories=false",
            "-oAPT::Update::Error-Mode=any",
            *apt.TIME_LIMITS,
        ]
        if os.geteuid() == 0:  # the user _apt cannot write to the cache
            options.append("-oAPT::Sandbox::User=root")
        with step("reading Debian's index of source packages"):
            updated, message = _apt(["apt-get", *options, "-q", "update"])
        read, output = _apt(["apt-cache", *options, "showsrc", "--only-source", package])
    if not read:  # a failed update is no error: an archive may lack one of several suites
        raise LabError(f"Debian's index cannot be read ({output if updated else message})")
    return parse(output)


def parse(text: str) -> dict[str, dict[str, str]]:
    """Parse `apt-cache showsrc`: SHA-256 sums of tarballs by file name, by version."""
    found: dict[str, dict[str, str]] = {}
    for paragraph in re.split(r"\n\s*\n", text):
        version = re.search(r"^Version: (\S+)", paragraph, re.MULTILINE)
        if version is None:
            continue
        files = re.findall(r"^ ([0-9a-f]{64}) \d+ (\w[\w.+~-]*)$", paragraph, re.MULTILINE)
        tarballs = {name: checksum for checksum, name in files if ".tar." in name}
        found[version[1]] = {n: c for n, c in tarballs.items() if not n.endswith(".asc")}
    return found


def _apt(words: list[str]) -> tuple[bool, str]:
    """Run a program of apt; return True and its output, or False and its first error message."""
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
    if done.returncode == 0:
        return True, done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("E: ")]
    message = lines[0].removeprefix("E: ") if lines else f"{words[0]} exited with {done.returncode}"
    return False, " ".join(message.split())
