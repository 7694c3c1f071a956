"""The figures of the base runs and of the new runs, case by case."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import xengt
from xengt.compare import notes
from xengt.compare.bootstrap import CONFIDENCE, RESAMPLES, SEED, Ratio, ratio
from xengt.document import read
from xengt.errors import UnmetError
from xengt.report.cases import phrase, varying
from xengt.samples import Case, Result

SCHEMA = "xengt.compare/1"
PAIR = "map + unmap"


class Metric(Enum):
    """What is compared: one figure of each run. The value is its name in JSON."""

    PAIR = "net_pair_ns"
    NET = "net_p50_ns"
    P50 = "p50_ns"
    THROUGHPUT = "throughput_per_s"

    @property
    def title(self) -> str:
        """Say what the figure is and in which unit."""
        return {
            Metric.PAIR: "map + unmap, median net of the floor, per operation",
            Metric.NET: "median net of the floor, per operation",
            Metric.P50: "median, per operation",
            Metric.THROUGHPUT: "throughput, operations per second",
        }[self]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one case on both sides.

    Args:
        case: what was measured; a pair's operation is `map + unmap`.
        metric: which figure.
        base: the figure in each base run that has the case.
        new: the figure in each new run that has the case.
        ratio: new over base, or None where base is not above its floor.
    """

    case: Case
    metric: Metric
    base: tuple[float, ...]
    new: tuple[float, ...]
    ratio: Ratio | None

    @property
    def verdict(self) -> str:
        """Say in words what the ratio shows."""
        if self.ratio is None:
            return "no ratio: base is not above the floor"
        if self.ratio.differs is False:
            return "no difference shown"
        change = self.ratio.value - 1
        words = ("more", "less") if self.metric is Metric.THROUGHPUT else ("slower", "faster")
        said = f"{100 * abs(change):.3g} % {words[change < 0]}" if change else "the same"
        return said if self.ratio.differs else f"{said}, one run on a side"

    def to_json(self) -> dict[str, Any]:
        """Return the row as an entry of `results`."""
        bounds = asdict(self.ratio) if self.ratio else {"value": None, "low": None, "high": None}
        return {
            **asdict(self.case),
            "metric": self.metric.value,
            "base": {"mean": mean(self.base), "runs": list(self.base)},
            "new": {"mean": mean(self.new), "runs": list(self.new)},
            "ratio": bounds.pop("value"),
            **bounds,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Base against new.

    Args:
        base: the base runs.
        new: the new runs.
        rows: what both sides have, by metric and then by case.
        only_base: cases that no new run has.
        only_new: cases that no base run has.
        notes: what to know before trusting the ratios.
    """

    base: tuple[notes.Run, ...]
    new: tuple[notes.Run, ...]
    rows: tuple[Row, ...]
    only_base: tuple[Case, ...]
    only_new: tuple[Case, ...]
    notes: tuple[str, ...]

    def pairs_above(self, bound: float) -> tuple[Row, ...]:
        """Find the map + unmap pairs whose ratio is above a bound.

        Args:
            bound: the largest ratio new/base that is still well.

        Raises:
            UnmetError: no pair was compared, so that the bound says nothing.
        """
        pairs = [row for row in self.rows if row.metric is Metric.PAIR and row.ratio]
        if not pairs:
            raise UnmetError(
                "no map + unmap pair net of its floor is on both sides",
                "bench the hypercall engine with the same plan on both sides",
            )
        return tuple(row for row in pairs if row.ratio and row.ratio.value > bound)

    @property
    def unmatched(self) -> list[str]:
        """Say which cases only one side has, in the dimensions that tell them apart."""
        differ = varying([*self.only_base, *self.only_new, *(row.case for row in self.rows)])
        return [
            f"only {side}: {phrase(case, differ)}"
            for side, cases in (("base", self.only_base), ("new", self.only_new))
            for case in cases
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as an `xengt.compare/1` document."""
        return {
            "schema": SCHEMA,
            "xengt": xengt.__version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "bootstrap": {"confidence": CONFIDENCE, "resamples": RESAMPLES, "seed": SEED},
            "base": [run.to_json() for run in self.base],
            "new": [run.to_json() for run in self.new],
            "results": [row.to_json() for row in self.rows],
            "only_base": [asdict(case) for case in self.only_base],
            "only_new": [asdict(case) for case in self.only_new],
            "notes": list(self.notes),
        }


def mean(values: Sequence[float]) -> float:
    """Return the mean of a side's runs.

    Args:
        values: one figure of each run.
    """
    return sum(values) / len(values)


def compare(base: Sequence[str], new: Sequence[str]) -> Comparison:
    """Compare two sets of runs.

    Args:
        base: bench documents, one of each run.
        new: bench documents, one of each run.

    Raises:
        UnmetError: a side has no file, a file is no bench document, or the
            two sides have no case in common.
    """
    before, after = _load(base, "base"), _load(new, "new")
    figures = _figures(before), _figures(after)
    rows = tuple(_rows(*figures))
    if not rows:
        raise UnmetError(
            "the two sides have no case in common",
            "bench both sides with the same plan (--engine, --granter, --batch, ...)",
        )
    cases = _cases(before), _cases(after)
    return Comparison(
        base=before,
        new=after,
        rows=rows,
        only_base=tuple(case for case in cases[0] if case not in cases[1]),
        only_new=tuple(case for case in cases[1] if case not in cases[0]),
        notes=tuple(notes.notes(before, after)),
    )


def _load(paths: Sequence[str], side: str) -> tuple[notes.Run, ...]:
    if not paths:
        raise UnmetError(
            f"no {side} run was named",
            "name the runs of both sides: xengt compare BASE.json... -- NEW.json...",
        )
    runs = tuple(notes.Run(path, read(path)) for path in paths)
    for run in runs:
        results = run.document.results
        if len({result.case for result in results}) < len(results):
            raise UnmetError(
                f"{run.path} holds the same case twice",
                "measure again without naming a value twice in the plan",
            )
    return runs


def _cases(runs: Sequence[notes.Run]) -> list[Case]:
    return list(dict.fromkeys(result.case for run in runs for result in run.document.results))


_Figures = dict[tuple[Metric, Case], tuple[float, ...]]


def _figures(runs: Sequence[notes.Run]) -> _Figures:
    found: dict[tuple[Metric, Case], tuple[float, ...]] = {}
    for run in runs:
        results = {result.case: result for result in run.document.results}
        for key, value in _of_run(results):
            found[key] = (*found.get(key, ()), value)
    return found


def _of_run(results: Mapping[Case, Result]) -> Iterator[tuple[tuple[Metric, Case], float]]:
    for case, result in results.items():
        yield (Metric.P50, case), result.latency_ns.p50
        yield (Metric.THROUGHPUT, case), result.throughput_per_s
        if (net := _net(result)) is not None:
            yield (Metric.NET, case), net
    for case, result in results.items():
        undo = results.get(replace(case, operation="unmap")) if case.operation == "map" else None
        there, back = _net(result), _net(undo) if undo else None
        if there is not None and back is not None:
            yield (Metric.PAIR, replace(case, operation=PAIR)), there + back


def _net(result: Result) -> float | None:
    return None if result.floor_ns is None else result.latency_ns.p50 - result.floor_ns


def _rows(base: _Figures, new: _Figures) -> Iterator[Row]:
    for metric in Metric:
        for key, before in base.items():
            if key[0] is metric and key in new:
                yield Row(key[1], metric, before, new[key], ratio(before, new[key]))
