"""The `xengt.compare/2` document: base runs and new runs, compared case by case.

`xengt/documents/compare.schema.json` says what every key means and in which unit.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import xengt
from xengt.bench.case import Case
from xengt.bench.case_text import phrase, varying
from xengt.compare.figures import Metric, collect_figures
from xengt.compare.notes import find_limitations
from xengt.compare.ratio import METHOD
from xengt.compare.row import RatioRow, build_rows
from xengt.documents.timestamp import timestamp
from xengt.errors import UnmetError
from xengt.runs.run_file import RunFile, common_clock, load_runs
from xengt.statistics.confidence import CONFIDENCE
from xengt.xen.kernel import Clock

SCHEMA = "xengt.compare/2"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison of base runs with new runs.

    Args:
        base: the base runs.
        new: the new runs.
        rows: the figures that both sides have, by metric and then by case.
        only_base: the cases that no new run has.
        only_new: the cases that no base run has.
        notes: the limitations of the comparison, one sentence each.
    """

    base: tuple[RunFile, ...]
    new: tuple[RunFile, ...]
    rows: tuple[RatioRow, ...]
    only_base: tuple[Case, ...]
    only_new: tuple[Case, ...]
    notes: tuple[str, ...]

    @property
    def clock(self) -> Clock:
        """What a nanosecond is: an instruction only if it is one in every run."""
        return common_clock([*self.base, *self.new])

    @property
    def pairs(self) -> tuple[RatioRow, ...]:
        """The rows of map/unmap pairs, measurement overhead excluded.

        Raises:
            UnmetError: there are none.
        """
        pairs = tuple(row for row in self.rows if row.metric is Metric.PAIR)
        if not pairs:
            raise UnmetError(
                "base and new have no map/unmap pair with a measurement overhead in common",
                "measure both sides with `xengt bench --engine hypercall`",
            )
        return pairs

    @property
    def unmatched(self) -> list[str]:
        """The cases that only one side has, each by the dimensions in which cases differ."""
        differing = varying([*self.only_base, *self.only_new, *(row.case for row in self.rows)])
        return [
            f"only in {side}: {phrase(case, differing)}"
            for side, cases in (("base", self.only_base), ("new", self.only_new))
            for case in cases
        ]

    def to_json(self, target_ratio: float | None = None) -> dict[str, Any]:
        """Return the document as `compare.schema.json` describes it.

        Args:
            target_ratio: the ratio given with --at-most, or None.
        """
        return {
            "schema": SCHEMA,
            "xengt": xengt.__version__,
            "created": timestamp(),
            "interval": {"method": METHOD, "confidence": CONFIDENCE},
            "wanted": target_ratio,
            "clock": self.clock,
            "base": [run.to_json() for run in self.base],
            "new": [run.to_json() for run in self.new],
            "results": [row.to_json(target_ratio) for row in self.rows],
            "only_base": [asdict(case) for case in self.only_base],
            "only_new": [asdict(case) for case in self.only_new],
            "notes": list(self.notes),
        }


def compare_runs(base: Sequence[str], new: Sequence[str]) -> Comparison:
    """Compare two sets of benchmark runs.

    Args:
        base: paths of bench documents, one for each base run.
        new: paths of bench documents, one for each new run.

    Raises:
        UnmetError: a side has no file, a file is not a bench document, a document contains a case
            twice, or the two sides have no case in common.
    """
    base_runs, new_runs = _load_side("base", base), _load_side("new", new)
    clock = common_clock([*base_runs, *new_runs])
    rows = tuple(build_rows(collect_figures(base_runs), collect_figures(new_runs), clock))
    if not rows:
        raise UnmetError(
            "the base and new runs have no case in common",
            "measure both sides with the same values of --engine, --granter, --batch, ...",
        )
    base_cases, new_cases = _cases(base_runs), _cases(new_runs)
    return Comparison(
        base=base_runs,
        new=new_runs,
        rows=rows,
        only_base=tuple(case for case in base_cases if case not in new_cases),
        only_new=tuple(case for case in new_cases if case not in base_cases),
        notes=tuple(find_limitations(base_runs, new_runs)),
    )


def _load_side(side: str, paths: Sequence[str]) -> tuple[RunFile, ...]:
    if not paths:
        raise UnmetError(
            f"no {side} runs are given",
            "name the files of both sides: xengt compare BASE.json... -- NEW.json...",
        )
    return load_runs(paths)


def _cases(runs: Sequence[RunFile]) -> list[Case]:
    return list(dict.fromkeys(result.case for run in runs for result in run.document.results))
