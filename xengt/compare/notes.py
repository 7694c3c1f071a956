"""What to know of two sets of runs before trusting their ratios."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from xengt.bench.dimensions import DIMENSIONS, phrase
from xengt.bench.document import BenchDocument
from xengt.xen.maptrack import SHORT_NAMES

# Of fewer runs, the intervals are right but wide.
_ENOUGH_RUNS = 5


@dataclass(frozen=True, slots=True)
class Run:
    """One bench document of a side.

    Args:
        path: the file it was read from.
        document: what the file holds.
    """

    path: str
    document: BenchDocument

    @property
    def boot_id(self) -> str:
        """Return the boot the run was made in."""
        return self.document.host["boot_id"]

    @property
    def maptrack(self) -> str:
        """Name the maptrack of the run's hypervisor; "" where nothing told."""
        return SHORT_NAMES.get(self.document.host.get("maptrack"), "")

    def to_json(self) -> dict[str, Any]:
        """Return what tells the run from another."""
        return {
            "file": self.path,
            "created": self.document.created,
            "host": dict(self.document.host),
        }


def notes(base: Sequence[Run], new: Sequence[Run]) -> Iterator[str]:
    """Say what limits the comparison.

    Args:
        base: the base runs, at least one.
        new: the new runs, at least one.

    Yields:
        One sentence for each finding, with what to do about it.
    """
    fewest = min(len(base), len(new))
    counted = all(run.document.host.get("clock") == "instructions" for run in (*base, *new))
    if fewest == 1:
        if not counted:
            yield (
                "one run on a side gives a ratio but no interval: "
                "reboot and bench again, at least five runs a side"
            )
    elif fewest < _ENOUGH_RUNS:
        yield (
            f"the intervals are wide, as they are from {len(base)} and {len(new)} runs: "
            f"make at least {_ENOUGH_RUNS} runs a side"
        )
    if fewest > 1 and len(base) != len(new):
        yield (
            f"{len(base)} base runs and {len(new)} new runs: the intervals assume that the noise "
            "of both sides is the same; make as many runs on each side"
        )
    yield from _shared_boots(base, new)
    for part, names in (
        ("host", [name for name in _facts([*base, *new]) if name != "boot_id"]),
        ("plan", list(base[0].document.plan)),
    ):
        for name in names:
            yield from _differing(name, _values(base, part, name), _values(new, part, name))
    for side, runs in (("base", base), ("new", new)):
        yield from _incomplete(side, runs)


def _shared_boots(base: Sequence[Run], new: Sequence[Run]) -> Iterator[str]:
    for side, runs in (("base", base), ("new", new)):
        for boot, count in Counter(run.boot_id for run in runs).items():
            if count > 1:
                yield (
                    f"{count} of the {side} runs are of one boot ({boot[:8]}) and not independent: "
                    "the intervals are too narrow; reboot between runs"
                )
    for boot in {run.boot_id for run in base} & {run.boot_id for run in new}:
        yield f"both sides have runs of one boot ({boot[:8]}): it had one hypervisor only"


def _facts(runs: Sequence[Run]) -> dict[str, object]:
    """Gather what any run tells of its host: older runs may tell less than newer ones."""
    return {name: None for run in runs for name in run.document.host}


def _values(runs: Sequence[Run], part: str, name: str) -> list[str]:
    found = (getattr(run.document, part).get(name) for run in runs)
    return list(dict.fromkeys(json.dumps(value, ensure_ascii=False) for value in found))


def _differing(name: str, base: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    if len(base) == len(new) == 1:
        if base != new:
            yield f"{name} differs: base {base[0]}, new {new[0]}"
        return
    for side, values in (("base", base), ("new", new)):
        if len(values) > 1:
            yield f"{name} differs among the {side} runs: {', '.join(values)}"
    if set(base) != set(new):
        yield f"{name} differs: base {', '.join(base)}; new {', '.join(new)}"


def _incomplete(side: str, runs: Sequence[Run]) -> Iterator[str]:
    held = Counter(result.case for run in runs for result in run.document.results)
    for case, count in held.items():
        if count < len(runs):
            yield f"only {count} of the {len(runs)} {side} runs have {phrase(case, DIMENSIONS)}"


def side(name: str, runs: Sequence[Run]) -> str:
    """Name a side by its hypervisors' maptrack: "base, stock maptrack"; the name alone if untold.

    Args:
        name: `base` or `new`.
        runs: of the side.
    """
    return ", ".join([name, *dict.fromkeys(run.maptrack for run in runs if run.maptrack)])
