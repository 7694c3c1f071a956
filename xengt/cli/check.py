"""`xengt check`: prerequisites of xengt, and sources of measurement noise."""

import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from xengt.check import DOM0_COMMANDS, Check, Command, State, run_all
from xengt.cli.json_option import JsonTarget
from xengt.cli.outputs import Outputs
from xengt.errors import Exit

SCHEMA = "xengt.check/2"
_STYLES = {State.OK: "green", State.WARNING: "yellow", State.MISSING: "red"}
_STATE_WIDTH = max(len(state) for state in State) + 2
#: narrowest column for the text of a check on a terminal, in characters
_TEXT_WIDTH = 40


def check(
    commands: Annotated[
        list[Command] | None,
        typer.Option(
            "--for",
            show_default=", ".join(DOM0_COMMANDS),
            help="Command that you want to use; can be repeated. A problem that affects only other "
            "commands is reported as a warning.",
        ),
    ] = None,
    as_json: JsonTarget = None,
) -> None:
    """Check the prerequisites of xengt on this machine, and sources of measurement noise.

    The state of a check is ok, missing (it prevents a command of --for from running)
    or warning (it prevents another command, or results may be unreliable). Each
    warning and each missing prerequisite has a remedy. The exit code is 2 if
    something prevents a command of --for, otherwise 0.

    Example: xengt check --for serve
    """
    outputs = Outputs({"--json": as_json})
    wanted = tuple(dict.fromkeys(commands or DOM0_COMMANDS))
    checks = list(run_all(wanted))
    outputs.write_document(
        {"schema": SCHEMA, "for": list(wanted), "checks": [asdict(each) for each in checks]}
    )
    if not outputs.on_standard_output:
        _print_table(checks)
    if any(each.state is State.MISSING for each in checks):
        raise typer.Exit(Exit.UNMET)


def _print_table(checks: Sequence[Check]) -> None:
    """Print the checks in columns, with long texts wrapped on a terminal only."""
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    indent = _STATE_WIDTH + max(len(each.name) for each in checks) + 2
    width = max(console.width, indent + _TEXT_WIDTH) if console.is_terminal else sys.maxsize
    for each in checks:
        state = f"{each.state:<{_STATE_WIDTH}}"
        name = f"{each.name:<{indent - _STATE_WIDTH}}"
        what = _wrap(each.what + _prevented(each), width, indent)
        console.print(Text.assemble((state, _STYLES[each.state]), name, what))
        if each.remedy:
            console.print(Text(" " * indent + _wrap(each.remedy, width, indent), style="dim"))
    counts = [f"{sum(each.state is state for each in checks)} {state}" for state in State]
    console.print(f"\n{', '.join(counts)}")


def _prevented(check: Check) -> str:
    """Return which commands cannot run, as the end of a sentence; "" if all can."""
    commands = [f"`xengt {each}`" for each in check.prevents]
    return f"; this prevents {', '.join(commands)}" if commands else ""


def _wrap(text: str, width: int, indent: int) -> str:
    """Wrap a text into the column that begins at `indent`."""
    lines = textwrap.wrap(text, width - indent, break_on_hyphens=False) or [""]
    return ("\n" + " " * indent).join(lines)
