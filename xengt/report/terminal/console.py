"""Printing of tables and lines on a console without truncating a column."""

from collections.abc import Iterable
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

_UNBOUNDED = 1000
"""A width in characters that exceeds that of every table."""


def console_on(stream: TextIO) -> Console:
    """Return a console that prints reports.

    Args:
        stream: standard output or standard error. If it is not a terminal, lines are not wrapped.
    """
    width = None if stream.isatty() else _UNBOUNDED
    return Console(file=stream, width=width, highlight=False)


def print_table(console: Console, table: Table) -> None:
    """Print a table at its full width; a narrower terminal wraps its lines.

    Args:
        console: the console to print on.
        table: a table that does not expand.
    """
    width = console.width
    console.width = _UNBOUNDED
    try:
        console.print(table, crop=False)
    finally:
        console.width = width


def print_lines(console: Console, lines: Iterable[str]) -> None:
    """Print lines, wrapped between words if they are longer than the terminal is wide.

    Args:
        console: the console to print on.
        lines: the lines, without line ends. Markup in them is printed as it is.
    """
    for line in lines:
        console.print(Text(line))
