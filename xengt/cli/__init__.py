"""The command line: one module per command, registered here.

Importing a command does not load Xen's libraries, so `xengt --help` works on any machine.
"""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, ParamSpec

import typer

from xengt import __version__
from xengt.cli import (
    bench,
    check,
    compare,
    ending,
    handle,
    plan,
    schema,
    serve,
    share,
    standard_streams,
    usage,
)
from xengt.cli.map import map_pages

_P = ParamSpec("_P")

# xengt.cli.ending reports unexpected exceptions.
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _print_version(requested: bool) -> None:
    if requested:
        print(f"xengt {__version__}")
        raise typer.Exit


@app.callback()
def _xengt(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Measure and monitor the grant operations of Xen."""


def _command(function: Callable[_P, None]) -> Callable[_P, None]:
    """Make a command print its errors and end with the exit codes of xengt.errors."""

    @wraps(function)
    def run(*args: _P.args, **options: _P.kwargs) -> None:
        with ending.errors_reported():
            function(*args, **options)

    return run


app.command("bench")(_command(bench.bench))
app.command("check")(_command(check.check))
app.command("compare", cls=compare.TwoListsCommand)(_command(compare.compare))
app.command("handle")(_command(handle.handle))
app.command("map")(_command(map_pages))
app.command("plan")(_command(plan.plan))
app.command("schema")(_command(schema.schema))
app.command("serve")(_command(serve.serve))
app.command("share")(_command(share.share))
app.command("usage", cls=usage.WatchCommand)(_command(usage.usage))


def main() -> None:
    """Run the `xengt` command."""
    standard_streams.guard()
    ending.raise_at_signals()
    with ending.errors_reported():
        try:
            app(prog_name="xengt")
        finally:
            sys.stdout.flush()  # its error decides the exit code
