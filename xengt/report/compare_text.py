"""Texts and columns that the HTML page and the terminal tables of a comparison have in common."""

from collections.abc import Sequence

from xengt.compare import Metric, RatioRow
from xengt.report.quantity import NO_VALUE, PERCENT_CONFIDENCE, duration, interval, rate
from xengt.runs.run_file import RunFile
from xengt.xen.kernel import Clock

COLUMNS = ("base", "new", "ratio", f"{PERCENT_CONFIDENCE} interval")
"""The titles of the columns of figures."""

EXPLANATION = (
    "Figures are geometric means over the runs (arithmetic means in rows that have no ratio), and "
    "ratios are new/base. The sampling unit of the "
    f"{PERCENT_CONFIDENCE} confidence intervals is a run. About one interval in twenty excludes 1 "
    "by chance."
)


def side_title(side: str, runs: Sequence[RunFile]) -> str:
    """Return a side's name and the maptrack variants of its hypervisors: "base, stock maptrack".

    Args:
        side: `base` or `new`.
        runs: the runs of the side. A run that does not record its maptrack adds nothing.
    """
    return ", ".join([side, *dict.fromkeys(run.maptrack for run in runs if run.maptrack)])


def format_columns(row: RatioRow, clock: Clock) -> tuple[str, str, str, str]:
    """Write the figures of a row, in the order of `COLUMNS`.

    Args:
        row: a row of a comparison.
        clock: the clock of both sides.
    """
    base, new = (_format_figure(row.metric, mean, clock) for mean in row.means)
    if row.ratio is None:
        return base, new, NO_VALUE, NO_VALUE
    return base, new, f"{row.ratio.value:.3f}", interval(row.ratio.low, row.ratio.high)


def _format_figure(metric: Metric, value: float, clock: Clock) -> str:
    return rate(value) if metric is Metric.THROUGHPUT else duration(value, clock)
