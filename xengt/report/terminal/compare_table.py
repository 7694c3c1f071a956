"""The report of a comparison as tables for a terminal or a pipe."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xengt.bench.case_text import WORDS, constants, phrase, varying, word
from xengt.compare import Comparison, Metric, RatioRow
from xengt.compare.ratio import POWER
from xengt.report.compare_text import COLUMNS, EXPLANATION, format_columns, side_title
from xengt.report.terminal.console import print_lines, print_table
from xengt.xen.kernel import Clock


def show(comparison: Comparison, console: Console, target_ratio: float | None = None) -> None:
    """Print a comparison: the files, a table per metric, unmatched cases, notes.

    Args:
        comparison: the comparison.
        console: the console to print on.
        target_ratio: the ratio given with --at-most, or None. With it, the number of runs that
            detect such a ratio is printed for each map/unmap pair.
    """
    print_lines(
        console,
        [
            f"{side_title(side, runs)}: {', '.join(run.path for run in runs)}"
            for side, runs in (("base", comparison.base), ("new", comparison.new))
        ],
    )
    for metric in Metric:
        rows = [row for row in comparison.rows if row.metric is metric]
        if rows:
            print_lines(console, ["", metric.title, constants(row.case for row in rows)])
            print_table(console, _build_table(rows, comparison.clock))
    print_lines(
        console,
        [
            "",
            EXPLANATION,
            *([] if target_ratio is None else _describe_runs_needed(comparison, target_ratio)),
            *comparison.unmatched,
            *(f"note: {note}" for note in comparison.notes),
        ],
    )


def _describe_runs_needed(comparison: Comparison, target_ratio: float) -> list[str]:
    pairs = [row for row in comparison.rows if row.metric is Metric.PAIR]
    differing = varying(row.case for row in pairs)
    return [
        " · ".join(filter(None, ["map/unmap pair", phrase(row.case, differing)]))
        + f": {runs} runs on each side are needed to detect a ratio of {target_ratio:g} "
        f"with a probability of {100 * POWER:g} %"
        for row in pairs
        if (runs := row.runs_needed(target_ratio)) is not None
    ]


def _build_table(rows: Sequence[RatioRow], clock: Clock) -> Table:
    differing = varying(row.case for row in rows)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in differing:
        table.add_column(name, justify="left" if name in WORDS else "right", no_wrap=True)
    for title in COLUMNS:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("")
    for row in rows:
        table.add_row(
            *(Text(word(row.case, name)) for name in differing),
            *format_columns(row, clock),
            row.verdict,
        )
    return table
