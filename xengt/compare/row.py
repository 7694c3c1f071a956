"""One metric of one case on both sides, with its ratio and verdict."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from xengt.bench.case import Case
from xengt.compare.figures import FiguresByCase, Metric
from xengt.compare.ratio import Ratio, estimate_ratio, geometric_mean, runs_needed
from xengt.runs.overhead import Figure, is_above_overhead
from xengt.xen.kernel import Clock

BELOW_OVERHEAD = "inconclusive: below the measurement overhead"
"""The verdict of a row without a ratio."""

_INCREASE_DECREASE = {
    "time": ("slower", "faster"),
    "instructions": ("more instructions", "fewer instructions"),
}
_THROUGHPUT_INCREASE_DECREASE = ("higher", "lower")


@dataclass(frozen=True, slots=True)
class RatioRow:
    """One metric of one case on both sides.

    Args:
        case: the measured case; the operation of a map/unmap pair is `map + unmap`.
        metric: the metric.
        base: the figure of each base run that has the case, in the metric's unit.
        new: the figure of each new run that has the case, in the metric's unit.
        ratio: new over base; None if a side does not exceed the measurement overhead by more than
            its noise.
        clock: what a nanosecond of both sides is. Instruction counts repeat exactly, so one run
            on each side is enough for them.
    """

    case: Case
    metric: Metric
    base: tuple[float, ...]
    new: tuple[float, ...]
    ratio: Ratio | None
    clock: Clock = "time"

    @property
    def verdict(self) -> str:
        """The meaning of the ratio in words."""
        if self.ratio is None:
            return BELOW_OVERHEAD
        if self.ratio.differs is False:
            return "no significant difference"
        change = self.ratio.value - 1
        words = (
            _THROUGHPUT_INCREASE_DECREASE
            if self.metric is Metric.THROUGHPUT
            else _INCREASE_DECREASE[self.clock]
        )
        difference = f"{100 * abs(change):.3g} % {words[change < 0]}" if change else "equal"
        if self.ratio.differs or self.clock == "instructions":
            return difference
        return f"{difference} (no interval: one run on a side)"

    @property
    def means(self) -> tuple[float, float]:
        """The mean over the runs of base and of new, in the metric's unit.

        With a ratio, the means are geometric, and the ratio is their quotient. Without one, the
        figures of runs may be negative, and the means are arithmetic.
        """
        mean = geometric_mean if self.ratio else fmean
        return mean(self.base), mean(self.new)

    def runs_needed(self, target_ratio: float) -> int | None:
        """Return the number of runs per side that detect a ratio; see `ratio.runs_needed`.

        Args:
            target_ratio: the ratio new/base to detect; positive and not 1.
        """
        return runs_needed(self.base, self.new, target_ratio) if self.ratio else None

    def to_json(self, target_ratio: float | None = None) -> dict[str, Any]:
        """Return the row as an entry of `results` in `compare.schema.json`.

        Args:
            target_ratio: the ratio given with --at-most, or None.
        """
        bounds = asdict(self.ratio) if self.ratio else {"value": None, "low": None, "high": None}
        base, new = self.means
        return {
            **asdict(self.case),
            "metric": self.metric.value,
            "base": {"mean": base, "runs": list(self.base)},
            "new": {"mean": new, "runs": list(self.new)},
            "ratio": bounds.pop("value"),
            **bounds,
            "runs_needed": None if target_ratio is None else self.runs_needed(target_ratio),
            "verdict": self.verdict,
        }


def build_rows(base: FiguresByCase, new: FiguresByCase, clock: Clock) -> Iterator[RatioRow]:
    """Pair the figures that both sides have.

    Args:
        base: the figures of the base runs.
        new: the figures of the new runs.
        clock: what a nanosecond of both sides is.

    Yields:
        Rows by metric and then by case, in the order of the base runs.
    """
    for metric in Metric:
        # Without a clock that measures seconds, there are no operations per second.
        if metric is Metric.THROUGHPUT and clock == "instructions":
            continue
        for key, figures in base.items():
            if key[0] is metric and key in new:
                yield _build_row(metric, key[1], figures, new[key], clock)


def _build_row(
    metric: Metric, case: Case, base: Sequence[Figure], new: Sequence[Figure], clock: Clock
) -> RatioRow:
    base_values = tuple(figure.value for figure in base)
    new_values = tuple(figure.value for figure in new)
    has_ratio = not metric.excludes_overhead or (is_above_overhead(base) and is_above_overhead(new))
    ratio = estimate_ratio(base_values, new_values) if has_ratio else None
    return RatioRow(case, metric, base_values, new_values, ratio, clock)
