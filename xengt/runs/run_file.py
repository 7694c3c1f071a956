"""A bench document together with the file it was read from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xengt.bench.document import BenchDocument, read
from xengt.errors import UnmetError
from xengt.xen.kernel import Clock
from xengt.xen.maptrack import SHORT_NAMES


@dataclass(frozen=True, slots=True)
class RunFile:
    """One benchmark run.

    Args:
        path: the file, as named on the command line.
        document: the content of the file.
    """

    path: str
    document: BenchDocument

    @property
    def boot_id(self) -> str:
        """The boot in which the run was made."""
        return self.document.host["boot_id"]

    @property
    def clock(self) -> Clock:
        """What a nanosecond of the run is."""
        return self.document.host.get("clock", "time")

    @property
    def maptrack(self) -> str:
        """The maptrack variant of the run's hypervisor; "" if the document does not record it."""
        return SHORT_NAMES.get(self.document.host.get("maptrack"), "")

    def to_json(self) -> dict[str, Any]:
        """Return the run as an entry of a document that reports several runs."""
        return {
            "file": self.path,
            "created": self.document.created,
            "host": dict(self.document.host),
        }


def is_run(path: str) -> bool:
    """Return whether a file is a bench document.

    Args:
        path: the file.
    """
    try:
        read(path)
    except UnmetError:
        return False
    return True


def load_runs(paths: Sequence[str]) -> tuple[RunFile, ...]:
    """Read several runs.

    Args:
        paths: bench documents, one for each run.

    Raises:
        UnmetError: no file is named, a file is not a bench document, or a document contains a
            case twice.
    """
    if not paths:
        raise UnmetError("no runs are given", "name files that `xengt bench --json=FILE` wrote")
    runs = tuple(RunFile(path, read(path)) for path in paths)
    for run in runs:
        results = run.document.results
        if len({result.case for result in results}) < len(results):
            raise UnmetError(
                f"{run.path} contains the same case twice",
                "measure again without repeating a value of an option of `xengt bench`",
            )
    return runs


def common_clock(runs: Sequence[RunFile]) -> Clock:
    """Return `instructions` if every run counts instructions, else `time`.

    Args:
        runs: the runs that are compared or reported together.
    """
    return "instructions" if {run.clock for run in runs} == {"instructions"} else "time"
