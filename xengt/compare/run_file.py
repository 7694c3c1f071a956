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
        """Return the run as an entry of `base` or `new` in `compare.schema.json`."""
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


def load_runs(paths: Sequence[str], side: str) -> tuple[RunFile, ...]:
    """Read the runs of one side.

    Args:
        paths: bench documents, one for each run.
        side: `base` or `new`, for the error message.

    Raises:
        UnmetError: no file is named, a file is not a bench document, or a document contains a
            case twice.
    """
    if not paths:
        raise UnmetError(
            f"no {side} runs are given",
            "name the files of both sides: xengt compare BASE.json... -- NEW.json...",
        )
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
        runs: the runs of both sides.
    """
    return "instructions" if {run.clock for run in runs} == {"instructions"} else "time"


def side_title(side: str, runs: Sequence[RunFile]) -> str:
    """Return a side's name and the maptrack variants of its hypervisors: "base, stock maptrack".

    Args:
        side: `base` or `new`.
        runs: the runs of the side. A run that does not record its maptrack adds nothing.
    """
    return ", ".join([side, *dict.fromkeys(run.maptrack for run in runs if run.maptrack)])
