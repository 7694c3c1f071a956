"""A comparison on a terminal, or as plain lines where there is none."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xengt.bench.dimensions import WORDS, constants, phrase, varying, word
from xengt.compare import Comparison, Metric, Row
from xengt.compare.notes import side
from xengt.compare.ratio import POWER
from xengt.report.quantity import duration, interval, rate
from xengt.report.terminal.console import lines, print_table
from xengt.xen.kernel import Clock


def show(comparison: Comparison, console: Console, wanted: float | None = None) -> None:
    """Print a comparison: a table for each figure, what one side lacks, notes.

    Args:
        comparison: base against new.
        console: where to.
        wanted: the ratio that was asked for, if one was: the runs that it needs are printed.
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
            print_table(console, _table(rows, comparison.clock))
    lines(
        console,
        [
            "",
            READ_AS,
            *([] if wanted is None else needed(comparison, wanted)),
            *comparison.unmatched,
            *(f"note: {note}" for note in comparison.notes),
        ],
    )


READ_AS = (
    "Figures are geometric means over runs, and ratios are new/base. In brackets is the 95 % "
    "confidence interval of the ratio; its sampling unit is a run. About one interval in twenty "
    "excludes 1 by chance."
)


def needed(comparison: Comparison, wanted: float) -> list[str]:
    """Say how many runs each pair needs to tell a ratio from 1, where the noise is known.

    Args:
        comparison: base against new.
        wanted: the ratio.
    """
    pairs = [row for row in comparison.rows if row.metric is Metric.PAIR]
    differ = varying(row.case for row in pairs) or ("operation",)
    return [
        f"{phrase(row.case, differ)} needs {runs} runs on each side to tell a ratio of {wanted:g} "
        f"from 1 with a probability of {POWER:.0%}."
        for row in pairs
        if (runs := row.runs_needed(wanted)) is not None
    ]


def figure(metric: Metric, value: float, clock: Clock) -> str:
    """Write a figure in its metric's unit.

    Args:
        metric: what the figure is.
        value: the figure.
        clock: of both sides.
    """
    return rate(value) if metric is Metric.THROUGHPUT else duration(value, clock)


def _table(rows: Sequence[Row], clock: Clock) -> Table:
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
            *(figure(row.metric, centre, clock) for centre in row.centres),
            f"{ratio.value:.3f}" if ratio else "-",
            interval(ratio.low, ratio.high) if ratio else "-",
            row.verdict,
        )
    return table
