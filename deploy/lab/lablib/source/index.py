"""What Debian's signed index lists of a source package, read by the machine's apt."""

import os
import re
import subprocess

from lablib.cache import Cache
from lablib.errors import LabError
from lablib.output import step
from lablib.source import apt

TRUST = "signed-by=/usr/share/keyrings/debian-archive-keyring.gpg"
"""What apt holds the index to: the keys of debian-archive-keyring, whatever this machine's own
Debian is."""


def versions(cache: Cache, package: str) -> dict[str, dict[str, str]]:
    """Return the listed versions of a source package: SHA-256 sum by file name, by version.

    The index is kept in the cache, apart from the machine's own, and updated at each call.

    Args:
        cache: where it is kept.
        package: the source package's name.

    Raises:
        LabError: apt cannot get the index, or its signature is not Debian's.
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
        if os.geteuid() == 0:  # apt's own user cannot write into the cache
            options.append("-oAPT::Sandbox::User=root")
        with step("reading Debian's index of sources"):
            updated, said = _apt(["apt-get", *options, "-q", "update"])
        read, listed = _apt(["apt-cache", *options, "showsrc", "--only-source", package])
    if not read:  # an archive that lacks one suite of several still lists its others
        raise LabError(f"Debian's index cannot be read ({listed if updated else said})")
    return parse(listed)


def parse(text: str) -> dict[str, dict[str, str]]:
    """Read `apt-cache showsrc`: SHA-256 sum by file name, by version; without signatures."""
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
    """Run one of apt's programs; return whether it succeeded, and its output or first error."""
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
    if done.returncode == 0:
        return True, done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("E: ")]
    said = lines[0].removeprefix("E: ") if lines else f"{words[0]} exited with {done.returncode}"
    return False, " ".join(said.split())
