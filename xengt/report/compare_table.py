"""A comparison on a terminal, or as plain lines where there is none."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xengt.compare import Comparison, Metric, Row
from xengt.compare.comparison import mean
from xengt.compare.notes import side
from xengt.report.cases import WORDS, constants, varying, word
from xengt.report.quantity import duration, interval, rate
from xengt.report.table import lines, print_table


def show(comparison: Comparison, console: Console) -> None:
    """Print a comparison: a table for each figure, what one side lacks, notes.

    Args:
        comparison: base against new.
        console: where to.
    """
    lines(
        console,
        [
            f"{side(name, runs)}: {', '.join(run.path for run in runs)}"
            for name, runs in (("base", comparison.base), ("new", comparison.new))
        ],
    )
    for metric in Metric:
        rows = [row for row in comparison.rows if row.metric is metric]
        if rows:
            lines(console, ["", metric.title, constants(row.case for row in rows)])
            print_table(console, _table(rows))
    lines(
        console,
        [
            "",
            READ_AS,
            *comparison.unmatched,
            *(f"note: {note}" for note in comparison.notes),
        ],
    )


READ_AS = (
    "Ratios are new/base, of the means over runs; in brackets the 95 % bootstrap interval, "
    "whose sampling unit is a run. About one interval in twenty leaves 1 out by chance."
)


def figure(metric: Metric, value: float) -> str:
    """Write a figure in its metric's unit.

    Args:
        metric: what the figure is.
        value: the figure.
    """
    return rate(value) if metric is Metric.THROUGHPUT else duration(value)


def _table(rows: Sequence[Row]) -> Table:
    differ = varying(row.case for row in rows)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in differ:
        table.add_column(name, justify="left" if name in WORDS else "right", no_wrap=True)
    for name in ("base", "new", "ratio", "95 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for row in rows:
        ratio = row.ratio
        table.add_row(
            *(Text(word(row.case, name)) for name in differ),
            figure(row.metric, mean(row.base)),
            figure(row.metric, mean(row.new)),
            f"{ratio.value:.3f}" if ratio else "-",
            interval(ratio.low, ratio.high) if ratio else "-",
            row.verdict,
        )
    return table
