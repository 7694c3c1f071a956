"""Select the version of Debian's source that a patch series is applied to.

`bases.toml` of each series pins versions by the SHA-256 sums of their files. The lab uses the
newest version that an archive has and that the series applies to.
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
from lablib.source.series import Fit, Patch, read_series, try_series
from lablib.source.unpack import local_source, unpacked

UNTIL = " until the series changes or `lab build --prune` selects a version again"
"""End of the message about the selected version."""


class NoSourceError(LabError):
    """No archive has a version of the source that the series applies to."""


@dataclass(frozen=True)
class Package:
    """A Debian source package with this tree's series for it.

    Attributes:
        name: the package's name, and the name of the directory with its source.
        title: its name in messages.
        release: the prefix of its versions, such as `4.20`.
        patches: the directory with `series` and `bases.toml`. Directories beside it whose names
            begin with the package's have series for other releases, without `bases.toml`.
        option: the lab's option for a local source directory or tarball.
        alternative: what the user can boot without a source, for messages.
    """

    name: str
    title: str
    release: str
    patches: Path
    option: str
    alternative: str

    def series(self) -> list[Patch]:
        """Return the patches; [] if the tree has no series."""
        return read_series(self.patches) if (self.patches / "series").is_file() else []

    def all_series(self) -> list[Path]:
        """Return the directories with a series for a release, beginning with `patches`."""
        found = (path.parent for path in self.patches.parent.glob(f"{self.name}-*/series"))
        return [self.patches, *sorted(set(found) - {self.patches})]


XEN = Package(
    "xen", "Xen", "4.20", places.PATCHES, "--xen-source", "Debian's binary: --hypervisor debian"
)
LINUX = Package(
    "linux",
    "Linux",
    "6.12",
    places.KERNEL_PATCHES,
    "--linux-source",
    "Debian's binary: --kernel debian",
)


@dataclass(frozen=True)
class Version:
    """One version of a source package.

    Attributes:
        name: Debian's version.
        files: SHA-256 sums in hexadecimal by file name.
        pinned: `bases.toml` contains it.
        exact: the series must apply without offsets, as `bases.toml` requires.
    """

    name: str
    files: Mapping[str, str]
    pinned: bool = True
    exact: bool = False


@dataclass(frozen=True)
class Base:
    """The source that a hypervisor or kernel is built from.

    Attributes:
        directory: contains the source in a directory named after the package.
        version: Debian's version, or the path of a local source.
        offsets: hunks of the series may apply with an offset.
        patches: the directory with the series for this source; None: the package's.
    """

    directory: Path
    version: str
    offsets: bool = False
    patches: Path | None = None


def pinned_versions(directory: Path) -> list[Version]:
    """Return the versions in `bases.toml`, newest first; [] if there is no such file.

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
    """Return the source to build from; download and unpack it if it is not in the cache.

    The selection remains in the cache until the pinned versions, the series or the archives' URIs
    change, or `lab build --prune` removes it. Until then stock and patched have the same source.

    Args:
        cache: of downloads, sources and the selection.
        package: the source package.
        local: a source directory or tarball to use instead of Debian's source.

    Raises:
        NoSourceError: no version that the series applies to can be downloaded.
        LabError: a pinned version cannot be unpacked, or `local` is not a source of this package.
    """
    if local is not None:
        return _local(cache, package, local)
    parts = [
        package.name.encode(),
        *(line.encode() for line in apt.mirrors().lines()),
        *(repr(version).encode() for version in pinned_versions(package.patches)),
        *(patch.content for patch in package.series()),
    ]
    name = f"{package.name}-{key(parts)}"

    def make(entry: Path) -> None:
        choice = _select(cache, package)
        (entry / "choice.json").write_text(json.dumps(asdict(choice)))

    try:
        return _read_choice(cache, package, cache.entry("base", name, make))
    except UnavailableError:  # removed from the cache, and meanwhile from the archive
        remove(cache.root / "base" / name)
        return _read_choice(cache, package, cache.entry("base", name, make))


@dataclass(frozen=True)
class Choice:
    """The selected version.

    Attributes:
        version: of the source package.
        offsets: see `Base`.
    """

    version: Version
    offsets: bool


def _read_choice(cache: Cache, package: Package, entry: Path) -> Base:
    choice = json.loads((entry / "choice.json").read_text())
    version = Version(**choice["version"])
    return Base(_unpacked(cache, package, version), version.name, choice["offsets"])


def _unpacked(cache: Cache, package: Package, version: Version) -> Path:
    files = [File(name, checksum) for name, checksum in version.files.items()]
    return unpacked(cache, package.name, version.name, files)


def _select(cache: Cache, package: Package) -> Choice:
    """Return the newest version that the series applies to.

    If the series applies to no version, it is being edited, and the newest pinned version is
    selected: stock builds on it, and the build of the patched variant reports the failing hunk.
    """
    series = package.series()
    failures: list[str] = []
    fallback: Version | None = None
    for version in _candidates(cache, package):
        name = f"{package.title} {version.name}"
        candidate = name if version.pinned else f"Debian now has {name}"
        try:
            directory = _unpacked(cache, package, version)
        except UnavailableError as error:
            print_message(f"{candidate}: {error.what}")
            for response in error.details:
                print_message(f"  {response}")
            failures += error.details
            continue
        except LabError as error:
            # The files of a pinned version are known to be intact: the cause is on this machine.
            if version.pinned:
                raise
            print_message(f"{candidate}: the source cannot be unpacked")
            failures.append(error.what)
            continue
        result = try_series(series, directory / package.name)
        if result.fit is Fit.FAILS or (result.fit is Fit.OFFSETS and version.exact):
            exactly = " exactly" if version.exact else ""
            failure = f"{result.patch} does not apply{exactly} to {name}"
            print_message(f"{failure}: {result.hunk}")
            failures.append(failure)
            fallback = fallback or (version if version.pinned else None)
            continue
        if result.fit is Fit.OFFSETS or not version.pinned:
            print_message(f"{candidate}: the series applies {result.fit.value}")
        print_message(f"using Debian's {name}{UNTIL}")
        return Choice(version, result.fit is Fit.OFFSETS)
    if fallback is not None:
        print_message(f"using Debian's {package.title} {fallback.name}{UNTIL}")
        return Choice(fallback, offsets=False)
    raise NoSourceError(
        f"no source of {package.title} {package.release} that the series applies to"
        " can be downloaded",
        f"set XENGT_MIRROR to an archive that has Debian's sources, add {package.option} PATH,"
        f" or use {package.alternative}",
        exit_code=EXIT_USAGE,
        details=failures,
    )


def _candidates(cache: Cache, package: Package) -> Iterator[Version]:
    """Yield the newest version in Debian's index if no pin is as new, and then the pins."""
    pins = pinned_versions(package.patches)
    try:
        listed = index.versions(cache, package.name)
    except LabError as error:
        print_message(f"{error.what}: only the pinned versions are tried")
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
    """Return a local source and the first series of those that apply to it best."""
    directory = local_source(cache, package.name, package.option, path)
    if not package.series():
        return Base(directory, str(path))
    results = {}
    for patches in package.all_series():
        results[patches] = try_series(read_series(patches), directory / package.name)
        if results[patches].fit is Fit.EXACT:
            break
    order = list(Fit)
    patches = min(results, key=lambda patches: order.index(results[patches].fit))
    result = results[patches]
    if result.fit is Fit.FAILS:
        print_message(
            f"{path}: only builds without patches are possible, as {result.patch} does not apply: "
            f"{result.hunk}"
        )
    elif result.fit is Fit.OFFSETS or patches != package.patches:
        print_message(f"{path}: the series {patches.name} applies {result.fit.value}")
    return Base(directory, str(path), result.fit is Fit.OFFSETS, patches)
