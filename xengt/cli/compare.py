"""`xengt compare`: compare two sets of benchmark runs."""

import sys
from typing import Annotated

import typer

from xengt.cli.json_option import DocumentFileCommand, JsonTarget
from xengt.cli.outputs import Outputs
from xengt.compare import compare_runs
from xengt.compare.row import BELOW_OVERHEAD
from xengt.documents.write import json_text
from xengt.errors import Exit, UnmetError
from xengt.report.html import compare_page
from xengt.report.terminal import compare_table

# Replaces `--` for the parser. No argument of a process can contain a null character.
_SEPARATOR = "\0"


class TwoListsCommand(DocumentFileCommand):
    """A command whose operands are two lists separated by `--`.

    The parser takes `--` as the end of the options and drops it. This class passes it on as an
    operand, so that the command sees where the second list begins, and options are accepted on
    both sides of it.
    """

    def complete(self, args: list[str], *, completing: bool) -> list[str]:
        """Return the arguments with the separator as an operand.

        Args:
            args: the arguments of the command.
            completing: a shell completes the line.
        """
        complete = super().complete(args, completing=completing)
        return [_SEPARATOR if word == "--" else word for word in complete]


def compare(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="BASE.json... -- NEW.json...",
            show_default=False,
            help="Documents from `xengt bench --json`: base runs, `--`, new runs.",
        ),
    ],
    at_most: Annotated[
        float | None,
        typer.Option(
            metavar="RATIO",
            show_default=False,
            min=0,
            help="Exit with status 1 unless the ratio new/base of every map/unmap pair is at most "
            "RATIO, and print the number of runs needed to detect a ratio of that size.",
        ),
    ] = None,
    as_json: JsonTarget = None,
    html: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", show_default=False, help="Write the comparison as HTML to FILE."
        ),
    ] = None,
) -> None:
    """Compare two sets of benchmark runs: ratios new/base with confidence intervals.

    A document is one run, and the sampling unit is a run: reboot between runs,
    and make at least five on each side. A ratio is that of the geometric means
    over the runs. Its 95 % confidence interval is Student's t interval on
    logarithms; if the interval contains 1, the difference is not significant.
    A figure that does not exceed the measurement overhead by more than its
    noise has no ratio.

    With --at-most, the exit status is 1 if the ratio of a map/unmap pair
    exceeds RATIO or if a pair has no ratio. If the document is printed (--json),
    the table goes to standard error.

    Example: xengt compare stock-*.json -- patched-*.json --at-most 0.80 --html compare.html
    """
    outputs = Outputs({"--json": as_json, "--html": html})
    outputs.spare_runs()
    base, new = _split_sides(files)
    comparison = compare_runs(base, new)
    try:
        outputs.write(
            {
                "--json": lambda: json_text(comparison.to_json(at_most)),
                "--html": lambda: compare_page.render(comparison),
            }
        )
    finally:
        compare_table.show(comparison, outputs.console, at_most)
    if at_most is not None:
        pairs = comparison.pairs
        above = sum(row.ratio is not None and row.ratio.value > at_most for row in pairs)
        inconclusive = sum(row.ratio is None for row in pairs)
        if above:
            _complain(above, f"ratio above the bound of {at_most:g} (--at-most)")
        if inconclusive:
            _complain(inconclusive, f"{BELOW_OVERHEAD}; raise --batch or --samples of xengt bench")
        if above or inconclusive:
            raise typer.Exit(Exit.BEYOND_BOUND)


def _complain(count: int, problem: str) -> None:
    print(f"xengt: {count} map/unmap pair{'s' * (count > 1)}: {problem}", file=sys.stderr)


def _split_sides(files: list[str]) -> tuple[list[str], list[str]]:
    if files.count(_SEPARATOR) != 1:
        raise UnmetError(
            "exactly one `--` is required between the base runs and the new runs",
            "for example `xengt compare stock-*.json -- patched-*.json`",
        )
    separator = files.index(_SEPARATOR)
    return files[:separator], files[separator + 1 :]
