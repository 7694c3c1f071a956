"""The patch series of this tree, and whether a patch applies exactly."""

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

# GNU patch's output for a file all of whose hunks apply without an offset.
_EXACT = re.compile(r"patching file (?P<file>.+)$")
_OFFSET = re.compile(r"Hunk #\d+ succeeded at \d+ \(offset -?\d+ lines?\)\.")
# The other name of a file that is added or removed is /dev/null.
_TOUCHED = re.compile(r"^(?:---|\+\+\+) [ab]/(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Patch:
    """A patch of a series.

    Attributes:
        name: the name of its file.
        content: the content of its file.
    """

    name: str
    content: bytes

    @property
    def touched(self) -> set[str]:
        """Return the names in lines like a diff header, at least those of the touched files."""
        return set(_TOUCHED.findall(self.content.decode("utf-8", "replace")))


def patches(first: int | None = None, directory: Path | None = None) -> list[Patch]:
    """Return this tree's patches for Xen in the order of the series file.

    Args:
        first: number of patches; None: all.
        directory: of the series; None: the series for Debian's source.

    Raises:
        LabError: see `read_series`.
    """
    return read_series(
        directory or places.PATCHES,
        "use --hypervisor stock, or --xen FILE for a hypervisor built elsewhere",
        first,
    )


def kernel_patches(first: int | None = None) -> list[Patch]:
    """Return this tree's patches for Linux in the order of the series file.

    Args:
        first: number of patches; None: all.

    Raises:
        LabError: see `read_series`.
    """
    return read_series(places.KERNEL_PATCHES, "use --kernel debian", first)


def read_series(directory: Path, remedy: str = "", first: int | None = None) -> list[Patch]:
    """Return the patches of a directory in the order of its series file.

    Args:
        directory: contains `series` and the patches.
        remedy: the remedy if there is no series.
        first: number of patches; None: all.

    Raises:
        LabError: there is no series, it has fewer patches than `first`, or a patch cannot be read.
    """
    series = directory / "series"
    if not series.is_file():
        raise LabError(
            f"this tree has no patches: {series.relative_to(directory.parents[1])} does not exist",
            remedy,
            exit_code=EXIT_USAGE,
        )
    names = re.sub(r"#.*", "", series.read_text()).split()
    if first is not None and not 1 <= first <= len(names):
        raise LabError(
            f"--patches {first} is out of range: the series has {len(names)} patches",
            f"specify 1 to {len(names)}",
            exit_code=EXIT_USAGE,
        )
    return [_read(directory, name) for name in names[:first]]


def _read(directory: Path, name: str) -> Patch:
    path = directory / name
    try:
        return Patch(path.name, path.read_bytes())
    except OSError as error:
        raise LabError(
            f"patches/{directory.name}/{name}, which the series lists, cannot be read:"
            f" {error.strerror}",
            "add the file, or remove its line from the series",
            exit_code=EXIT_USAGE,
        ) from error


def changeset(series: Sequence[Patch]) -> str:
    """Return the xen_changeset of a hypervisor with these patches: their number and a hash.

    Args:
        series: the patches, in order.
    """
    return f"xengt {count_text(series)} {key(patch.content for patch in series)}"


def count_text(series: Sequence[Patch]) -> str:
    """Return the number of patches with its noun, such as `2 patches`."""
    return f"{len(series)} patch{'es' * (len(series) > 1)}"


def first_problem(output: str, *, offsets: bool = False) -> str | None:
    """Return the first reason why a patch does not count as applied; None if it applied.

    Fuzz and, by default, an offset are such reasons: the patch was made for another source, and a
    hunk may have been applied to a function that only resembles the right one.

    Args:
        output: of GNU patch, which names each file; an empty output is a problem.
        offsets: hunks may apply with an offset.

    Returns:
        The file and GNU patch's message about the hunk.
    """
    file = ""
    for line in filter(None, map(str.strip, output.splitlines())):
        exact = _EXACT.match(line)
        if exact is not None:
            file = f"{exact['file']}: "
        elif not (offsets and _OFFSET.fullmatch(line)):
            return f"{file}{line}"
    return None if file else "it changes no file"


class Fit(Enum):
    """How a series applies to a source; the value completes "the series applies …"."""

    EXACT = "exactly"
    OFFSETS = "with offsets"
    FAILS = "not"


@dataclass(frozen=True)
class TrialResult:
    """The result of applying a series.

    Attributes:
        fit: of the complete series.
        patch: the name of the first patch that does not apply, or that needs an offset.
        hunk: its file and GNU patch's message about the hunk.
    """

    fit: Fit
    patch: str = ""
    hunk: str = ""


def try_series(series: Sequence[Patch], source: Path) -> TrialResult:
    """Apply a series to a copy of the files that it touches, and return how it applies.

    Args:
        series: the patches, in order.
        source: the source tree, which is not changed.

    Raises:
        LabError: `patch` is not installed.
    """
    result = TrialResult(Fit.EXACT)
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory)
        for file in {file for patch in series for file in patch.touched}:
            if (source / file).is_file():  # a patch may add a file
                (tree / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source / file, tree / file)
        for patch in series:
            output = apply(patch, tree)
            if problem := first_problem(output, offsets=True):
                return TrialResult(Fit.FAILS, patch.name, problem)
            problem = first_problem(output)
            if problem and result.fit is Fit.EXACT:
                result = TrialResult(Fit.OFFSETS, patch.name, problem)
    return result


def apply(patch: Patch, tree: Path) -> str:
    """Apply a patch without fuzz; return the output of GNU patch.

    Args:
        patch: the patch.
        tree: the source tree; hunks that apply change it even if others fail.

    Raises:
        LabError: `patch` is not installed.
    """
    words = ["patch", "--strip=1", "--fuzz=0", "--batch", "--forward", f"--directory={tree}"]
    words += ["--no-backup-if-mismatch", "--reject-file=-"]
    try:
        done = subprocess.run(words, input=patch.content, check=False, capture_output=True)
    except OSError as error:
        raise LabError(f"`patch` cannot be started: {error.strerror}") from error
    return done.stdout.decode("utf-8", "replace")
