"""`xengt usage`: what the domains use of their grant and maptrack tables."""

import json
import sys
import time
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text
from typer.core import TyperCommand

from xengt.errors import UnmetError
from xengt.report.terminal import usage_table
from xengt.report.terminal.console import console_on
from xengt.usage import Usage, read_usage
from xengt.xen import preflight

#: seconds between readings, where `--watch` says none
EVERY_S = 2.0
#: a reading asks Xen ten times a domain, and so disturbs what it looks at
LEAST_S = 0.1


class Watched(TyperCommand):
    """A command whose `--watch` may have a number of seconds after it, or none."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 (typer carries its own click)
        """Parse the arguments, with the seconds filled in that are not there.

        Args:
            ctx: the parser's context.
            args: the arguments of the command.
        """
        whole: list[str] = []
        for this, following in zip(args, [*args[1:], "-"], strict=False):
            whole.append(this)
            if this == "--watch" and following.startswith("-"):
                whole.append(f"{EVERY_S:g}")
        return super().parse_args(ctx, whole)


def usage(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    watch: Annotated[
        float | None,
        typer.Option(
            metavar="[SECONDS]",
            show_default=False,
            help=f"Read again every so many seconds, {EVERY_S:g} without a number, until Ctrl-C.",
        ),
    ] = None,
) -> None:
    """Show how much of its grant and maptrack tables each domain uses, and what it has mapped.

    Frames are of 4 KiB. Mappings are those that the domain made of others'
    references: fast ones are in the granters' own tables, slow ones in its
    maptrack table. The patched hypervisor tells all of it; of another, what
    could not be had is a dash. With --watch and --json, each line is a document.

    Example: xengt usage --watch 5
    """
    if watch is not None and not LEAST_S <= watch < float("inf"):
        raise UnmetError(f"--watch {watch:g}: {LEAST_S:g} seconds or more are wanted")
    preflight.require_dom0([])
    with preflight.library_errors_explained():
        if watch is None:
            _show(read_usage(), as_json=as_json)
        else:
            _watch(watch, as_json=as_json)


def _show(reading: Usage, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(reading.to_json(), indent=1))
    else:
        usage_table.show(reading, console_on(sys.stdout))


def _watch(seconds: float, *, as_json: bool) -> None:
    """Read again and again; Ctrl-C is how that ends, and no failure."""
    console = console_on(sys.stdout)
    try:
        if console.is_terminal and not as_json:
            _watch_live(seconds, console)
        while True:
            reading = read_usage()
            if as_json:
                print(json.dumps(reading.to_json()), flush=True)
            else:
                print(reading.created)
                usage_table.show(reading, console)
                print(flush=True)
            time.sleep(seconds)
    except KeyboardInterrupt:
        return


def _watch_live(seconds: float, console: Console) -> None:
    # No refresh of its own: what is on the screen changes with a reading and not else.
    with Live(console=console, auto_refresh=False) as screen:
        while True:
            reading = read_usage()
            screen.update(
                Group(
                    Text(f"{reading.created}, every {seconds:g} s; Ctrl-C ends"),
                    usage_table.table(reading, stacked=True),
                    *(Text(note) for note in usage_table.notes(reading)),
                ),
                refresh=True,
            )
            time.sleep(seconds)
