"""Where this machine gets Debian from: its own apt configuration, never a name of ours."""

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
"""Options of apt's programs: how often to ask again, and seconds that an archive may be silent."""

SUITE = "trixie"
"""The dom0's release, whatever the machine's own is."""


@dataclass(frozen=True)
class Source:
    """One archive apt knows: where, and which suites and components of it."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]


@dataclass(frozen=True)
class Mirrors:
    """Where the lab's packages come from.

    Attributes:
        archive: URI of the Debian archive.
        security: URI of its security archive; none when the machine uses none.
    """

    archive: str
    security: str | None

    def lines(self) -> list[str]:
        """Return the dom0 release's sources.list, binary and source packages."""
        suites = [(self.archive, SUITE), (self.archive, f"{SUITE}-updates")]
        if self.security:
            suites.append((self.security, f"{SUITE}-security"))
        return [
            f"{kind} {uri} {suite} main" for kind in ("deb", "deb-src") for uri, suite in suites
        ]


def parse_list(text: str) -> Iterator[Source]:
    """Yield the binary sources of a one-line-style sources.list."""
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)([^#]*)", line)
        if match:
            yield Source(match[1], (match[2],), tuple(match[3].split()))


def parse_deb822(text: str) -> Iterator[Source]:
    """Yield the binary sources of a deb822-style .sources file."""
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for paragraph in re.split(r"\n\s*\n", kept):
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
    """Pick the archive that serves the machine's own Debian, and its security archive.

    Args:
        sources: what apt is configured with.
        codename: the machine's release, such as `bookworm`.

    Raises:
        LabError: apt knows no Debian archive.
    """

    def serving(suites: set[str]) -> str | None:
        for source in sources:
            if suites & {s.rstrip("/") for s in source.suites} and "main" in source.components:
                return _listed(source.uri).rstrip("/")
        return None

    aliases = {codename, SUITE, "stable", "oldstable"}
    archive = serving(aliases)
    if archive is None:
        raise LabError(
            f"apt's configuration names no Debian archive for {codename}",
            "add one under /etc/apt, or set XENGT_MIRROR to an archive's URI",
            exit_code=EXIT_USAGE,
        )
    return Mirrors(archive, serving({f"{alias}-security" for alias in aliases}))


def _listed(uri: str) -> str:
    """Return the first archive of a mirror list on this machine; any other URI as it is."""
    if not uri.startswith("mirror+file:"):
        return uri
    try:
        lines = Path(uri.removeprefix("mirror+file:")).read_text().splitlines()
    except OSError:  # apt says what is wrong with it when it is asked for a file
        return uri
    words = [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
    return words[0] if words else uri


def mirrors(etc: Path = Path("/etc"), environ: Mapping[str, str] = os.environ) -> Mirrors:
    """Return the mirrors to use: those of the environment, or this machine's.

    Args:
        etc: the directory with `apt/` and `os-release`.
        environ: may set XENGT_MIRROR and XENGT_SECURITY_MIRROR.

    Raises:
        LabError: there is no archive, or the environment's is no URI.
    """
    for variable in ("XENGT_MIRROR", "XENGT_SECURITY_MIRROR"):
        if environ.get(variable) and ":/" not in environ[variable]:
            raise LabError(
                f"{variable}={environ[variable]} is not the URI of an archive",
                "give it a scheme and a path, such as http://HOST/debian",
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
    """Return the lines of this machine's apt configuration that say how it reaches mirrors."""
    dump = subprocess.run(
        ["apt-config", "dump", "--format", '%f "%v";%n', "Acquire"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [
        line for line in dump.splitlines() if re.search(r"(?i)prox|https?::Verify|CaInfo", line)
    ]
