"""The Debian archives to use: from the environment or from this machine's apt configuration."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lablib.errors import EXIT_USAGE, LabError

TIME_LIMITS = (
    "-oAcquire::Retries=2",
    "-oAcquire::http::Timeout=20",
    "-oAcquire::https::Timeout=20",
)
"""Options of apt's programs: number of retries, and seconds until an archive must respond."""

SUITE = "trixie"
"""The Debian release of dom0, independent of this machine's release."""


@dataclass(frozen=True)
class Source:
    """An archive in apt's configuration, with the configured suites and components."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]


@dataclass(frozen=True)
class Mirrors:
    """The archives that the lab uses.

    Attributes:
        archive: URI of the Debian archive.
        security: URI of the security archive; None if there is none.
    """

    archive: str
    security: str | None

    def lines(self, suite: str = SUITE) -> list[str]:
        """Return the lines of a sources.list, for binary and source packages.

        Args:
            suite: codename of the Debian release.
        """
        suites = [(self.archive, suite), (self.archive, f"{suite}-updates")]
        if self.security:
            suites.append((self.security, f"{suite}-security"))
        return [
            f"{kind} {uri} {suite} main" for kind in ("deb", "deb-src") for uri, suite in suites
        ]


def parse_list(text: str) -> Iterator[Source]:
    """Yield the binary sources of a one-line-style file: sources.list(5)."""
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)([^#]*)", line)
        if match:
            yield Source(match[1], (match[2],), tuple(match[3].split()))


def parse_deb822(text: str) -> Iterator[Source]:
    """Yield the enabled binary sources of a deb822-style .sources file: sources.list(5)."""
    uncommented = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for paragraph in re.split(r"\n\s*\n", uncommented):
        fields: dict[str, str] = {}
        name = ""
        for line in paragraph.splitlines():
            if line[:1].isspace():
                fields[name] = f"{fields.get(name, '')} {line.strip()}"
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes") == "no":
            continue
        for uri in fields.get("uris", "").split():
            yield Source(
                uri,
                tuple(fields.get("suites", "").split()),
                tuple(fields.get("components", "").split()),
            )


def choose(sources: list[Source], codename: str) -> Mirrors:
    """Return the configured archive of this machine's release, and its security archive.

    Args:
        sources: the sources in apt's configuration.
        codename: of this machine's release, such as `bookworm`.

    Raises:
        LabError: apt's configuration has no Debian archive.
    """

    def serving(suites: set[str]) -> str | None:
        for source in sources:
            if suites & {s.rstrip("/") for s in source.suites} and "main" in source.components:
                return _first_mirror(source.uri).rstrip("/")
        return None

    aliases = {codename, SUITE, "stable", "oldstable"}
    archive = serving(aliases)
    if archive is None:
        raise LabError(
            f"apt's configuration has no Debian archive for {codename}",
            "add one in /etc/apt, or set XENGT_MIRROR to the URI of an archive",
            exit_code=EXIT_USAGE,
        )
    return Mirrors(archive, serving({f"{alias}-security" for alias in aliases}))


def _first_mirror(uri: str) -> str:
    """Return the first archive of a mirror+file: list; any other URI unchanged."""
    if not uri.startswith("mirror+file:"):
        return uri
    try:
        lines = Path(uri.removeprefix("mirror+file:")).read_text().splitlines()
    except OSError:  # apt reports the error when it downloads
        return uri
    words = [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
    return words[0] if words else uri


def mirrors(etc: Path = Path("/etc"), environ: Mapping[str, str] = os.environ) -> Mirrors:
    """Return the archives in the environment or, without any, in apt's configuration.

    Args:
        etc: the directory with `apt/` and `os-release`.
        environ: may have XENGT_MIRROR and XENGT_SECURITY_MIRROR.

    Raises:
        LabError: no archive is configured, or a variable is not a URI.
    """
    for variable in ("XENGT_MIRROR", "XENGT_SECURITY_MIRROR"):
        if environ.get(variable) and ":/" not in environ[variable]:
            raise LabError(
                f"{variable}={environ[variable]} is not the URI of an archive",
                "set it to a URI with scheme and path, such as http://HOST/debian",
                exit_code=EXIT_USAGE,
            )
    if environ.get("XENGT_MIRROR"):
        security = environ.get("XENGT_SECURITY_MIRROR", "").rstrip("/")
        return Mirrors(environ["XENGT_MIRROR"].rstrip("/"), security or None)
    sources: list[Source] = []
    parts = etc / "apt/sources.list.d"
    for path in [etc / "apt/sources.list", *sorted(parts.glob("*.list"))]:
        if path.is_file():
            sources += parse_list(path.read_text())
    for path in sorted(parts.glob("*.sources")):
        sources += parse_deb822(path.read_text())
    release = re.search(
        r"^VERSION_CODENAME=\"?(\w+)", (etc / "os-release").read_text(), re.MULTILINE
    )
    return choose(sources, release[1] if release else SUITE)


def proxies() -> list[str]:
    """Return the lines of apt's configuration about proxies and certificates."""
    dump = subprocess.run(
        ["apt-config", "dump", "--format", '%f "%v";%n', "Acquire"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [
        line for line in dump.splitlines() if re.search(r"(?i)prox|https?::Verify|CaInfo", line)
    ]
