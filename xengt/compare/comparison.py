"""The figures of the base runs and of the new runs, case by case."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from statistics import fmean
from typing import Any

import xengt
from xengt.bench.case import Case
from xengt.bench.dimensions import phrase, varying
from xengt.bench.document import read
from xengt.bench.result import Result
from xengt.compare import notes
from xengt.compare.overhead import Net, is_above_overhead, net
from xengt.compare.ratio import CONFIDENCE, METHOD, Ratio, geometric_mean, ratio, runs_needed
from xengt.errors import UnmetError
from xengt.xen.kernel import Clock

SCHEMA = "xengt.compare/2"
_WORDS = {"time": ("slower", "faster"), "instructions": ("more", "fewer")}
PAIR = "map + unmap"
BELOW_OVERHEAD = "cannot tell: below the measurement overhead"


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
        ratio: new over base, or None if a side does not exceed the measurement overhead by more
            than its noise.
        clock: what a nanosecond of both sides is. Instructions need no second run: they repeat.
    """

    case: Case
    metric: Metric
    base: tuple[float, ...]
    new: tuple[float, ...]
    ratio: Ratio | None
    clock: Clock = "time"

    @property
    def verdict(self) -> str:
        """Say in words what the ratio shows."""
        if self.ratio is None:
            return BELOW_OVERHEAD
        if self.ratio.differs is False:
            return "no difference shown"
        change = self.ratio.value - 1
        words = ("more", "less") if self.metric is Metric.THROUGHPUT else _WORDS[self.clock]
        said = f"{100 * abs(change):.3g} % {words[change < 0]}" if change else "the same"
        if self.ratio.differs or self.clock == "instructions":
            return said
        return f"{said}, one run on a side"

    @property
    def centres(self) -> tuple[float, float]:
        """The figure of each side: the mean over its runs, whose quotient is the ratio.

        It is the geometric mean; where there is no ratio, runs may be negative, and it is the
        arithmetic one.
        """
        mean = geometric_mean if self.ratio else fmean
        return mean(self.base), mean(self.new)

    def runs_needed(self, wanted: float) -> int | None:
        """Return how many runs on each side show a difference; see `ratio.runs_needed`.

        Args:
            wanted: the ratio new/base to tell from 1.
        """
        return runs_needed(self.base, self.new, wanted) if self.ratio else None

    def to_json(self, wanted: float | None = None) -> dict[str, Any]:
        """Return the row as an entry of `results`.

        Args:
            wanted: the ratio that was asked for, if one was.
        """
        bounds = asdict(self.ratio) if self.ratio else {"value": None, "low": None, "high": None}
        base, new = self.centres
        return {
            **asdict(self.case),
            "metric": self.metric.value,
            "base": {"mean": base, "runs": list(self.base)},
            "new": {"mean": new, "runs": list(self.new)},
            "ratio": bounds.pop("value"),
            **bounds,
            "runs_needed": None if wanted is None else self.runs_needed(wanted),
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

    @property
    def clock(self) -> Clock:
        """What a nanosecond is: instructions only if it is that in every run."""
        return _clock([*self.base, *self.new])

    @property
    def pairs(self) -> tuple[Row, ...]:
        """The map + unmap pairs, net of the measurement overhead.

        Raises:
            UnmetError: there is none.
        """
        found = tuple(row for row in self.rows if row.metric is Metric.PAIR)
        if not found:
            raise UnmetError(
                "no map + unmap pair net of its floor is on both sides",
                "bench the hypercall engine with the same plan on both sides",
            )
        return found

    @property
    def unmatched(self) -> list[str]:
        """Say which cases only one side has, in the dimensions that tell them apart."""
        differ = varying([*self.only_base, *self.only_new, *(row.case for row in self.rows)])
        return [
            f"only {side}: {phrase(case, differ)}"
            for side, cases in (("base", self.only_base), ("new", self.only_new))
            for case in cases
        ]

    def to_json(self, wanted: float | None = None) -> dict[str, Any]:
        """Return the comparison as an `xengt.compare/2` document.

        Args:
            wanted: the ratio that was asked for, if one was.
        """
        return {
            "schema": SCHEMA,
            "xengt": xengt.__version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "interval": {"method": METHOD, "confidence": CONFIDENCE},
            "wanted": wanted,
            "clock": self.clock,
            "base": [run.to_json() for run in self.base],
            "new": [run.to_json() for run in self.new],
            "results": [row.to_json(wanted) for row in self.rows],
            "only_base": [asdict(case) for case in self.only_base],
            "only_new": [asdict(case) for case in self.only_new],
            "notes": list(self.notes),
        }


def compare_runs(base: Sequence[str], new: Sequence[str]) -> Comparison:
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
    rows = tuple(_rows(*figures, _clock([*before, *after])))
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


_Figures = dict[tuple[Metric, Case], tuple[Net, ...]]
"""One figure of each run. What nothing was subtracted from has no error here: its noise is that
between runs."""


def _figures(runs: Sequence[notes.Run]) -> _Figures:
    found: _Figures = {}
    for run in runs:
        results = {result.case: result for result in run.document.results}
        for key, value in _of_run(results):
            found[key] = (*found.get(key, ()), value)
    return found


def _of_run(results: Mapping[Case, Result]) -> Iterator[tuple[tuple[Metric, Case], Net]]:
    for case, result in results.items():
        yield (Metric.P50, case), Net(result.latency_ns.p50, 0)
        yield (Metric.THROUGHPUT, case), Net(result.throughput_per_s, 0)
        if (alone := net(result)) is not None:
            yield (Metric.NET, case), alone
    for case, result in results.items():
        undo = results.get(replace(case, operation="unmap")) if case.operation == "map" else None
        there, back = net(result), net(undo) if undo else None
        if there is not None and back is not None:
            yield (Metric.PAIR, replace(case, operation=PAIR)), there + back


def _clock(runs: Sequence[notes.Run]) -> Clock:
    clocks = {run.document.host.get("clock", "time") for run in runs}
    return "instructions" if clocks == {"instructions"} else "time"


def _rows(base: _Figures, new: _Figures, clock: Clock) -> Iterator[Row]:
    # The instruction clock knows no seconds: operations per second would be the inverse of a cost.
    for metric in Metric if clock == "time" else _COSTS:
        for key, before in base.items():
            if key[0] is metric and key in new:
                yield _row(metric, key[1], before, new[key], clock)


def _row(metric: Metric, case: Case, base: Sequence[Net], new: Sequence[Net], clock: Clock) -> Row:
    before = tuple(run.value for run in base)
    after = tuple(run.value for run in new)
    valid = all(is_above_overhead(side) for side in (base, new)) if metric in _NET else True
    return Row(case, metric, before, after, ratio(before, after) if valid else None, clock)


_NET = {Metric.PAIR, Metric.NET}
_COSTS = [metric for metric in Metric if metric is not Metric.THROUGHPUT]
