"""`xengt compare`: two sets of runs against each other."""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from xengt.compare import compare_runs
from xengt.compare.comparison import BELOW_OVERHEAD
from xengt.documents.write import write_json, write_text
from xengt.errors import Exit, UnmetError
from xengt.report.html import compare_page
from xengt.report.terminal import compare_table
from xengt.report.terminal.console import console_on

# What the parser is shown in place of `--`: no argument of a process can hold it.
_SEPARATOR = "\0"


class Sides(TyperCommand):
    """A command whose operands are two lists with `--` between them.

    To the parser `--` ends the options and is dropped. Here it is handed on
    as an operand, so that the command sees where the new runs begin, and
    options may stand on either side of it.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 (typer carries its own click)
        """Parse the arguments with the separator made an operand.

        Args:
            ctx: the parser's context.
            args: the arguments of the command.
        """
        return super().parse_args(ctx, [_SEPARATOR if arg == "--" else arg for arg in args])


def compare(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="BASE.json... -- NEW.json...",
            show_default=False,
            help="What `xengt bench --json` wrote: base runs, `--`, new runs.",
        ),
    ],
    at_most: Annotated[
        float | None,
        typer.Option(
            metavar="RATIO",
            show_default=False,
            min=0,
            help="Exit with 1 unless every map + unmap pair has a ratio new/base of at most RATIO; "
            "print how many runs a difference of that size needs.",
        ),
    ] = None,
    as_json: Annotated[
        str | None,
        typer.Option(
            "--json", metavar="FILE", show_default=False, help="Write JSON; - is standard output."
        ),
    ] = None,
    html: Annotated[
        str | None, typer.Option(metavar="FILE", show_default=False, help="Write a page.")
    ] = None,
) -> None:
    """Compare two sets of runs: ratios new/base, each with an interval.

    One document is one run, and runs are what is sampled: reboot between
    them, at least five on each side. The ratio is that of the geometric means
    over runs; its 95 % interval is Student's t interval on logarithms. If the
    interval contains 1, no difference is shown. A figure that does not exceed
    the measurement overhead by more than its noise has no ratio.

    Exits with 1 if a map + unmap pair is above the ratio of --at-most, or has
    no ratio.

    Example: xengt compare stock-*.json -- patched-*.json --at-most 0.80 --html compare.html
    """
    base, new = _sides(files)
    found = compare_runs(base, new)
    compare_table.show(found, console_on(sys.stderr if as_json == "-" else sys.stdout), at_most)
    if as_json:
        write_json(found.to_json(at_most), as_json)
    if html:
        write_text(compare_page.render(found), html)
    if at_most is not None:
        pairs = found.pairs
        above = sum(row.ratio is not None and row.ratio.value > at_most for row in pairs)
        unknown = sum(row.ratio is None for row in pairs)
        if above:
            _complain(above, f"above the ratio {at_most:g} asked for")
        if unknown:
            _complain(unknown, f"{BELOW_OVERHEAD}; raise --batch or --samples of `xengt bench`")
        if above or unknown:
            raise typer.Exit(Exit.BEYOND_BOUND)


def _complain(count: int, what: str) -> None:
    print(f"xengt: {count} map + unmap pair{'s' * (count > 1)}: {what}", file=sys.stderr)


def _sides(files: list[str]) -> tuple[list[str], list[str]]:
    if files.count(_SEPARATOR) != 1:
        raise UnmetError(
            "the base runs and the new runs need one `--` between them",
            "for example `xengt compare stock-*.json -- patched-*.json`",
        )
    middle = files.index(_SEPARATOR)
    return files[:middle], files[middle + 1 :]
