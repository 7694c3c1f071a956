"""Prints tables and lines on a terminal without ever cutting a column."""

from collections.abc import Iterable
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

# Wider than any table of ours: a column is never cut, wherever the output goes.
_UNBOUNDED = 1000


def console_on(stream: TextIO) -> Console:
    """Make the console reports are printed on.

    Args:
        stream: standard output or standard error.
    """
    # Where there is no terminal to be as wide as, lines are left whole.
    width = None if stream.isatty() else _UNBOUNDED
    return Console(file=stream, width=width, highlight=False)


def print_table(console: Console, table: Table) -> None:
    """Print a table at its full width: a terminal that is too narrow wraps it, nothing is cut.

    Args:
        console: where to.
        table: one that does not expand.
    """
    narrow = console.width
    console.width = _UNBOUNDED
    try:
        console.print(table, crop=False)
    finally:
        console.width = narrow


def lines(console: Console, texts: Iterable[str]) -> None:
    """Print lines, wrapped between words where they are longer than the terminal.

    Args:
        console: where to.
        texts: one for each line.
    """
    for text in texts:
        console.print(Text(text))
