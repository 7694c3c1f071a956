"""The break-even of mapping and copying as a table for a terminal or a pipe."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xengt.bench.case_text import WORDS, word
from xengt.break_even import BreakEvenDocument
from xengt.report.break_even_text import (
    EXPLANATION,
    format_crossing,
    format_interval,
    format_quotient,
    notes,
    shared_values,
    varying_dimensions,
)
from xengt.report.quantity import PERCENT_CONFIDENCE
from xengt.report.terminal.console import print_lines, print_table


def show(document: BreakEvenDocument, console: Console) -> None:
    """Print the break-evens: the files, a table, notes.

    Args:
        document: the break-evens.
        console: the console to print on.
    """
    rows = document.rows
    print_lines(
        console,
        [
            f"runs: {', '.join(run.path for run in document.runs)}",
            shared_values(rows),
            "",
        ],
    )
    print_table(console, _build_table(document))
    print_lines(console, ["", EXPLANATION, *(f"note: {note}" for note in notes(document))])


def _build_table(document: BreakEvenDocument) -> Table:
    rows = document.rows
    differing = varying_dimensions(rows)
    sizes = sorted({each.bytes for row in rows for each in row.sizes})
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("mapping", "copying", "direction"):
        table.add_column(name, no_wrap=True)
    for name in differing:
        table.add_column(name, justify="left" if name in WORDS else "right", no_wrap=True)
    for size in sizes:
        table.add_column(f"{size:,} B", justify="right", no_wrap=True)
    table.add_column("break-even", justify="right", no_wrap=True)
    table.add_column(f"{PERCENT_CONFIDENCE} interval", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.setup.engine,
            row.copying,
            row.operation,
            *(Text(word(row.setup, name)) for name in differing),
            *(format_quotient(row, size) for size in sizes),
            format_crossing(row.value, row.sizes[-1].bytes),
            format_interval(row),
        )
    return table
