"""Texts and columns that the HTML page and the terminal tables of a comparison have in common."""

from xengt.compare import Metric, Row
from xengt.compare.ratio import CONFIDENCE
from xengt.report.quantity import NO_VALUE, duration, interval, rate
from xengt.xen.kernel import Clock

PERCENT_CONFIDENCE = f"{100 * CONFIDENCE:g} %"
COLUMNS = ("base", "new", "ratio", f"{PERCENT_CONFIDENCE} interval")
"""The titles of the columns of figures."""

EXPLANATION = (
    "Figures are geometric means over the runs (arithmetic means in rows that have no ratio), and "
    "ratios are new/base. The sampling unit of the "
    f"{PERCENT_CONFIDENCE} confidence intervals is a run. About one interval in twenty excludes 1 "
    "by chance."
)


def format_columns(row: Row, clock: Clock) -> tuple[str, str, str, str]:
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
