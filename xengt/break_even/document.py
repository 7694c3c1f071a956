"""The `xengt.break-even/1` document: mapping and copying compared in runs of one host.

`xengt/documents/break-even.schema.json` says what every key means and in which unit.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import xengt
from xengt.bench.case import Setup
from xengt.bench.document import BenchDocument
from xengt.bench.engines.names import COPYING, EngineName
from xengt.break_even.costs import USE, costs_of
from xengt.break_even.row import BreakEvenRow, SizeCosts
from xengt.documents.timestamp import timestamp
from xengt.errors import UnmetError
from xengt.runs.run_file import RunFile, common_clock, load_runs
from xengt.statistics.confidence import CONFIDENCE
from xengt.xen.kernel import Clock
from xenlib_cffi.library import PAGE_SIZE

SCHEMA = "xengt.break-even/1"
METHOD = "Student's t on differences"
DIRECTIONS = ("copy from granter", "copy to granter")
ALTERNATIVES = {
    mapping: tuple(copying for copying, replaced in COPYING.items() if mapping in replaced)
    for mapping in EngineName
    if mapping not in COPYING
}
"""Engines that map, each with those that copy in its place."""

_Costs = Mapping[tuple[Setup, str], tuple[float, ...]]
"""The cost in each run, by setup and operation, as of `costs_of`."""


@dataclass(frozen=True, slots=True)
class BreakEvenDocument:
    """What the runs of one host show.

    Args:
        runs: the runs.
        rows: a row for each setup that maps, each way to copy in its place, and each direction.
    """

    runs: tuple[RunFile, ...]
    rows: tuple[BreakEvenRow, ...]

    @property
    def clock(self) -> Clock:
        """What a nanosecond is: an instruction only if it is one in every run."""
        return common_clock(self.runs)

    def to_json(self) -> dict[str, Any]:
        """Return the document as `break-even.schema.json` describes it."""
        return {
            "schema": SCHEMA,
            "xengt": xengt.__version__,
            "created": timestamp(),
            "interval": {"method": METHOD, "confidence": CONFIDENCE},
            "clock": self.clock,
            "runs": [run.to_json() for run in self.runs],
            "results": [row.to_json() for row in self.rows],
        }


def compare_alternatives(paths: Sequence[str]) -> BreakEvenDocument:
    """Compare mapping with copying.

    Args:
        paths: bench documents, one for each run of one host. Cases that not every run has are left
            out.

    Raises:
        UnmetError: a file is not a bench document, or no run has both a setup that maps and one
            that copies in its place.
    """
    runs = load_runs(paths)
    rows = tuple(find_break_evens([run.document for run in runs]))
    if not rows:
        raise UnmetError(
            "the runs contain no pair of setups that map and copy with the same granter, batch and "
            "threads (and, with --touch, the same --bytes)",
            "measure both with `xengt bench --engine gntdev,gntdev-copy --touch none,copy "
            "--bytes 64,512,1500,4096`, or with `--engine hypercall,copy`",
        )
    return BreakEvenDocument(runs, rows)


def find_break_evens(documents: Sequence[BenchDocument]) -> Iterator[BreakEvenRow]:
    """Yield a row for each setup that maps, each way to copy in its place, and each direction.

    Args:
        documents: bench documents of one host, one for each run. What not all of them have
            measured is left out.
    """
    of_runs = [costs_of(document.results) for document in documents]
    costs = {
        key: tuple(costs[key] for costs in of_runs)
        for key in of_runs[0]
        if all(key in costs for costs in of_runs)
    }
    groups = _by_bytes(costs)
    for (setup, operation), by_bytes in groups.items():
        for copying in ALTERNATIVES.get(setup.engine, ()) if operation == USE else ():
            copier = replace(setup, engine=copying, touch="none").without_unused()
            for direction in DIRECTIONS:
                copies = groups.get((copier, direction), {})
                # Without a touch, a mapping gives access to all bytes of the page at one cost.
                mappings = (
                    dict.fromkeys(copies, by_bytes[PAGE_SIZE])
                    if setup.touch == "none"
                    else by_bytes
                )
                sizes = tuple(
                    SizeCosts(size, mappings[size], copies[size])
                    for size in sorted(copies.keys() & mappings.keys())
                )
                if sizes:
                    yield BreakEvenRow(setup, copying, direction, sizes)


def _by_bytes(costs: _Costs) -> dict[tuple[Setup, str], dict[int, tuple[float, ...]]]:
    """Return the costs by number of bytes, under setups with all bytes of a page."""
    groups: dict[tuple[Setup, str], dict[int, tuple[float, ...]]] = {}
    for (setup, operation), cost in costs.items():
        key = (replace(setup, bytes=PAGE_SIZE), operation)
        groups.setdefault(key, {})[setup.bytes] = cost
    return groups
