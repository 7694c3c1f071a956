"""`xengt check`: what this machine has, and what it lacks."""

import json
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from xengt.check import Check, State, run_all
from xengt.errors import Exit

SCHEMA = "xengt.check/1"
_STYLES = {State.OK: "green", State.WARNING: "yellow", State.MISSING: "red"}
_STATE_WIDTH = max(len(state) for state in State) + 2


def check(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check whether this machine can run and measure grants, and say what to do where not.

    Every line is ok, a warning (it runs, and the figures deserve doubt) or
    missing. Exits with 2 if anything is missing, with 0 otherwise.

    Example: xengt check
    """
    found = list(run_all())
    if as_json:
        print(json.dumps({"schema": SCHEMA, "checks": [asdict(each) for each in found]}, indent=2))
    else:
        _show(found)
    if any(each.state is State.MISSING for each in found):
        raise typer.Exit(Exit.UNMET)


def _show(found: Sequence[Check]) -> None:
    """Print the checks in columns: folded on a terminal, one line each elsewhere."""
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    indent = _STATE_WIDTH + max(len(each.name) for each in found) + 2
    width = max(console.width, indent + 40) if console.is_terminal else sys.maxsize
    for each in found:
        head = f"{each.state:<{_STATE_WIDTH}}"
        name = f"{each.name:<{indent - _STATE_WIDTH}}"
        what = _fold(each.what, width, indent)
        console.print(Text.assemble((head, _STYLES[each.state]), name, what))
        if each.remedy:
            console.print(Text(" " * indent + _fold(each.remedy, width, indent), style="dim"))
    counts = [f"{sum(e.state is s for e in found)} {s}" for s in State]
    console.print(f"\n{', '.join(counts)}")


def _fold(text: str, width: int, indent: int) -> str:
    """Fold a text into the column from `indent` on."""
    lines = textwrap.wrap(text, width - indent, break_on_hyphens=False) or [""]
    return ("\n" + " " * indent).join(lines)
