"""Scalability laws as a table for a terminal or a pipe."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xengt.bench.case_text import WORDS, word
from xengt.report.quantity import NO_VALUE, rate
from xengt.report.scaling_text import (
    EXPLANATION,
    format_coefficient,
    format_peak,
    format_residual,
    notes,
    shared_values,
    varying_dimensions,
)
from xengt.report.terminal.console import print_lines, print_table
from xengt.scaling import ScalingDocument


def show(document: ScalingDocument, console: Console) -> None:
    """Print the laws: the files, a table, notes.

    Args:
        document: the laws.
        console: the console to print on.
    """
    files = ", ".join(run.path for run in document.runs)
    print_lines(console, [f"runs: {files}", shared_values(document.rows), ""])
    print_table(console, _build_table(document))
    print_lines(console, ["", EXPLANATION, *(f"note: {note}" for note in notes(document))])


def _build_table(document: ScalingDocument) -> Table:
    rows = document.rows
    differing = varying_dimensions(rows)
    threads = sorted({number for row in rows for number in row.means})
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in differing:
        table.add_column(name, justify="left" if name in WORDS else "right", no_wrap=True)
    for number in threads:
        table.add_column(f"{number} thread{'s' * (number > 1)}", justify="right", no_wrap=True)
    for title in ("contention", "coherency", "peak at threads", "residual"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        means = row.means
        table.add_row(
            *(Text(word(row.setup, name)) for name in differing),
            *(rate(means[number]) if number in means else NO_VALUE for number in threads),
            format_coefficient(row.law.contention),
            format_coefficient(row.law.coherency),
            format_peak(row),
            format_residual(row),
        )
    return table
