"""The patches of this tree, and whether they apply exactly."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from lablib import places
from lablib.cache import key
from lablib.errors import EXIT_USAGE, LabError

# What GNU patch says of a file whose every hunk fits at the line it names.
_EXACT = re.compile(r"patching file (?P<file>.+)$")
_OFFSET = re.compile(r"Hunk #\d+ succeeded at \d+ \(offset -?\d+ lines?\)\.")
# The name after it is free text of the patch: a file that is made or removed is /dev/null.
_TOUCHED = re.compile(r"^(?:---|\+\+\+) [ab]/(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Patch:
    """One patch.

    Attributes:
        name: of its file.
        content: of its file.
    """

    name: str
    content: bytes

    @property
    def touched(self) -> set[str]:
        """Return the files it changes, makes or removes, and perhaps some it only mentions."""
        return set(_TOUCHED.findall(self.content.decode("utf-8", "replace")))


def patches(first: int | None = None) -> list[Patch]:
    """Return this tree's patches for Xen in the order of their series file.

    Args:
        first: how many of them; all when nothing is said.

    Raises:
        LabError: the tree has none, lacks one that is listed, or has fewer than asked for.
    """
    return read_series(
        places.PATCHES,
        "use --hypervisor stock, or --xen FILE for a hypervisor built elsewhere",
        first,
    )


def kernel_patches(first: int | None = None) -> list[Patch]:
    """Return this tree's patches for Linux in the order of their series file.

    Args:
        first: how many of them; all when nothing is said.

    Raises:
        LabError: the tree has none, lacks one that is listed, or has fewer than asked for.
    """
    return read_series(places.KERNEL_PATCHES, "use --kernel debian", first)


def read_series(directory: Path, without: str = "", first: int | None = None) -> list[Patch]:
    """Return the patches of a directory in the order of its series file.

    Args:
        directory: holds `series` and the patches.
        without: what the user can do where there are none.
        first: how many of them; all when nothing is said.

    Raises:
        LabError: there are none, one that is listed cannot be read, or there are fewer than
            `first`.
    """
    series = directory / "series"
    if not series.is_file():
        raise LabError(
            "there are no patches in this tree:"
            f" {series.relative_to(directory.parents[1])} does not exist",
            without,
            exit_code=EXIT_USAGE,
        )
    names = re.sub(r"#.*", "", series.read_text()).split()
    if first is not None and not 1 <= first <= len(names):
        raise LabError(
            f"--patches {first}: the series has {len(names)}",
            f"ask for 1 to {len(names)}",
            exit_code=EXIT_USAGE,
        )
    return [_read(directory, name) for name in names[:first]]


def _read(directory: Path, name: str) -> Patch:
    path = directory / name
    try:
        return Patch(path.name, path.read_bytes())
    except OSError as error:
        raise LabError(
            f"patches/{directory.name}/series lists {name}, which cannot be read: {error.strerror}",
            "add the file, or take its line out of the series",
            exit_code=EXIT_USAGE,
        ) from error


def mark(series: Sequence[Patch]) -> str:
    """Return what a hypervisor built with these patches says of itself as its changeset.

    Args:
        series: in their order.
    """
    return f"xengt {counted(series)} {key(patch.content for patch in series)}"


def counted(series: Sequence[Patch]) -> str:
    """Return how many patches these are, in words."""
    return f"{len(series)} patch{'es' * (len(series) > 1)}"


def flaw(said: str, *, offsets: bool = False) -> str | None:
    """Tell why a patch does not count as applied.

    An offset or fuzz is a flaw as well: the patch was made for another source, and a hunk may
    have landed in a function that only looks like the one it is for.

    Args:
        said: all that GNU patch wrote; empty is a flaw, as it names each file.
        offsets: hunks may apply at other lines than they name, with their context as it is.

    Returns:
        The file and the hunk, in patch's own words; nothing when every hunk fits.
    """
    place = ""
    for line in filter(None, map(str.strip, said.splitlines())):
        exact = _EXACT.match(line)
        if exact is not None:
            place = f"{exact['file']}: "
        elif not (offsets and _OFFSET.fullmatch(line)):
            return f"{place}{line}"
    return None if place else "it changes no file"


class Fit(Enum):
    """How a series applies to a source."""

    EXACT = "exactly"
    OFFSETS = "with offsets"
    FAILS = "not"


@dataclass(frozen=True)
class Trial:
    """What came of applying a series.

    Attributes:
        fit: of all of it.
        patch: name of the first one that does not apply, or that needs an offset.
        hunk: its file and hunk, in GNU patch's words.
    """

    fit: Fit
    patch: str = ""
    hunk: str = ""


def trial(series: Sequence[Patch], source: Path) -> Trial:
    """Apply a series to a copy of the files it touches, and return how it applies.

    Args:
        series: in its order.
        source: the tree; it is not changed.
    """
    result = Trial(Fit.EXACT)
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory)
        for file in {file for patch in series for file in patch.touched}:
            if (source / file).is_file():  # a patch also makes files
                (tree / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source / file, tree / file)
        for patch in series:
            said = apply(patch, tree)
            if found := flaw(said, offsets=True):
                return Trial(Fit.FAILS, patch.name, found)
            found = flaw(said)
            if found and result.fit is Fit.EXACT:
                result = Trial(Fit.OFFSETS, patch.name, found)
    return result


def apply(patch: Patch, tree: Path) -> str:
    """Apply a patch without fuzz, and return what GNU patch says.

    Args:
        patch: one patch.
        tree: its files are changed, those of hunks that fit.

    Raises:
        LabError: there is no `patch` on this machine.
    """
    words = ["patch", "--strip=1", "--fuzz=0", "--batch", "--forward", f"--directory={tree}"]
    words += ["--no-backup-if-mismatch", "--reject-file=-"]
    try:
        done = subprocess.run(words, input=patch.content, check=False, capture_output=True)
    except OSError as error:
        raise LabError(f"`patch` cannot be started: {error.strerror}") from error
    return done.stdout.decode("utf-8", "replace")
