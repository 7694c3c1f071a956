"""The Debian source versions that a patch series is used on, and which of them this machine gets.

`bases.toml` beside each series pins versions by the SHA-256 sums of their files. The lab takes the
newest version that an archive still has and that the series applies to.
"""

import json
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from lablib import places
from lablib.cache import Cache, key, remove
from lablib.errors import EXIT_USAGE, LabError
from lablib.output import print_message
from lablib.source import apt, index
from lablib.source.download import File, UnavailableError
from lablib.source.series import Fit, Patch, read_series, trial
from lablib.source.unpack import local_source, unpacked

KEPT = " until the series changes, or `lab build --prune` chooses anew"


class NoSourceError(LabError):
    """No archive has a version that the series applies to."""


@dataclass(frozen=True)
class Package:
    """A source package of Debian's, and this tree's series for it.

    Attributes:
        name: the package's name, and that of the directory it is unpacked in.
        title: the name that messages use.
        release: how its versions begin, such as `4.20`.
        patches: the directory with `series` and `bases.toml`.
        option: the lab's option that names a local tree or tarball instead.
        without: what the user can boot without any source.
    """

    name: str
    title: str
    release: str
    patches: Path
    option: str
    without: str

    def series(self) -> list[Patch]:
        """Return the patches; none when the tree has no series."""
        return read_series(self.patches) if (self.patches / "series").is_file() else []


XEN = Package(
    "xen", "Xen", "4.20", places.PATCHES, "--xen-source", "Debian's own: --hypervisor debian"
)
LINUX = Package(
    "linux",
    "Linux",
    "6.12",
    places.KERNEL_PATCHES,
    "--linux-source",
    "Debian's own: --kernel debian",
)


@dataclass(frozen=True)
class Version:
    """One version of a source package.

    Attributes:
        name: Debian's version.
        files: SHA-256 sum in hexadecimal, by file name.
        pinned: `bases.toml` lists it.
        exact: `bases.toml` says that the series applies without offsets, and the lab insists on it.
    """

    name: str
    files: Mapping[str, str]
    pinned: bool = True
    exact: bool = False


@dataclass(frozen=True)
class Base:
    """The source that hypervisors or kernels are built from.

    Attributes:
        directory: holds the source in a directory named after the package.
        version: Debian's version, or the local path it was read from.
        offsets: hunks of the series may apply at other lines than they name.
    """

    directory: Path
    version: str
    offsets: bool = False


def pinned(directory: Path) -> list[Version]:
    """Return the versions that `bases.toml` lists, in its order: newest first; none without one.

    Args:
        directory: of the series.
    """
    path = directory / "bases.toml"
    text = path.read_text() if path.is_file() else "base = []"
    return [
        Version(entry["version"], entry["files"], exact=entry.get("exact", False))
        for entry in tomllib.loads(text)["base"]
    ]


def base(cache: Cache, package: Package, local: Path | None = None) -> Base:
    """Return the source to build from, downloaded and unpacked when it is not in the cache.

    The choice is kept until the pinned versions, the series or the archives' names change, or
    `lab build --prune` drops it. So stock and patched have one source as long as none of these
    changes in between.

    Args:
        cache: keeps downloads, sources and the choice.
        package: the source package.
        local: a directory or tarball of the user's, to use instead of Debian's source.

    Raises:
        NoSourceError: no version can be downloaded that the series applies to.
        LabError: a version does not unpack, or `local` is not a tree of this package.
    """
    if local is not None:
        return _local(cache, package, local)
    parts = [
        package.name.encode(),
        *(line.encode() for line in apt.mirrors().lines()),
        *(repr(version).encode() for version in pinned(package.patches)),
        *(patch.content for patch in package.series()),
    ]
    name = f"{package.name}-{key(parts)}"

    def make(entry: Path) -> None:
        choice = _choose(cache, package)
        (entry / "choice.json").write_text(json.dumps(asdict(choice)))

    try:
        return _chosen(cache, package, cache.entry("base", name, make))
    except UnavailableError:  # pruned here, and gone from the archive since it was chosen
        remove(cache.root / "base" / name)
        return _chosen(cache, package, cache.entry("base", name, make))


@dataclass(frozen=True)
class Choice:
    """Which version is used.

    Attributes:
        version: of the source package.
        offsets: see `Base`.
    """

    version: Version
    offsets: bool


def _chosen(cache: Cache, package: Package, entry: Path) -> Base:
    choice = json.loads((entry / "choice.json").read_text())
    version = Version(**choice["version"])
    return Base(_unpacked(cache, package, version), version.name, choice["offsets"])


def _unpacked(cache: Cache, package: Package, version: Version) -> Path:
    files = [File(name, checksum) for name, checksum in version.files.items()]
    return unpacked(cache, package.name, version.name, files)


def _choose(cache: Cache, package: Package) -> Choice:
    """Return the newest version that the series applies to.

    When the series applies to none, it is being edited: the newest pinned version serves, as stock
    builds on it, and building the patched variant names the hunk that does not apply.
    """
    series = package.series()
    missing: list[str] = []
    last: Version | None = None
    for version in _candidates(cache, package):
        name = f"{package.title} {version.name}"
        now = name if version.pinned else f"Debian now has {name}"
        try:
            directory = _unpacked(cache, package, version)
        except UnavailableError as error:
            print_message(f"{now}: {error.what}")
            for response in error.details:
                print_message(f"  {response}")
            missing += error.details
            continue
        except LabError as error:
            # The files are those that the pin was made from: this is a fault of this machine.
            if version.pinned:
                raise
            print_message(f"{now}: it does not unpack")
            missing.append(error.what)
            continue
        result = trial(series, directory / package.name)
        if result.fit is Fit.FAILS or (result.fit is Fit.OFFSETS and version.exact):
            how = " exactly" if version.exact else ""
            print_message(f"{result.patch} does not apply{how} to {name}: {result.hunk}")
            missing.append(f"{result.patch} does not apply{how} to {name}")
            last = last or (version if version.pinned else None)
            continue
        if result.fit is Fit.OFFSETS or not version.pinned:
            how = "with offsets" if result.fit is Fit.OFFSETS else "exactly"
            print_message(f"{now}: the series applies {how}")
        print_message(f"using Debian's {name}{KEPT}")
        return Choice(version, result.fit is Fit.OFFSETS)
    if last is not None:
        print_message(f"using Debian's {package.title} {last.name}{KEPT}")
        return Choice(last, offsets=False)
    raise NoSourceError(
        f"no source of {package.title} {package.release} that the series applies to"
        " can be downloaded",
        f"set XENGT_MIRROR to an archive that has Debian's sources, give {package.option} PATH,"
        f" or use {package.without}",
        exit_code=EXIT_USAGE,
        details=missing,
    )


def _candidates(cache: Cache, package: Package) -> Iterator[Version]:
    """Yield what Debian's index lists if it is newer than all pins, and then the pins."""
    pins = pinned(package.patches)
    try:
        listed = index.versions(cache, package.name)
    except LabError as error:
        print_message(f"{error.what}: only the versions that this tree pins are tried")
        listed = {}
    newest_pin = pins[0].name if pins else "0"
    newest = newest_pin
    for name in listed:
        if name.startswith(f"{package.release}.") and _newer(name, newest):
            newest = name
    if newest != newest_pin:
        yield Version(newest, listed[newest], pinned=False)
    yield from pins


def _newer(one: str, other: str) -> bool:
    words = ["dpkg", "--compare-versions", one, "gt", other]
    return subprocess.run(words, check=False).returncode == 0


def _local(cache: Cache, package: Package, path: Path) -> Base:
    directory = local_source(cache, package.name, package.option, path)
    result = trial(package.series(), directory / package.name)
    if result.fit is Fit.FAILS:
        print_message(f"{result.patch} does not apply to {path}: {result.hunk}")
    elif result.fit is Fit.OFFSETS:
        print_message(f"{path}: the series applies with offsets")
    return Base(directory, str(path), result.fit is Fit.OFFSETS)
