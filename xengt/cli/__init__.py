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
    break_even,
    check,
    compare,
    ending,
    handle,
    plan,
    scaling,
    schema,
    serve,
    share,
    standard_streams,
    usage,
)
from xengt.cli.json_option import DocumentCommand, DocumentFileCommand
from xengt.cli.map import map_pages

_P = ParamSpec("_P")

# xengt.cli.ending reports unexpected exceptions.
app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},  # of the commands as well
)


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


app.command("bench", cls=DocumentFileCommand)(_command(bench.bench))
app.command("break-even", cls=DocumentCommand)(_command(break_even.break_even))
app.command("check", cls=DocumentCommand)(_command(check.check))
app.command("compare", cls=compare.TwoListsCommand)(_command(compare.compare))
app.command("handle", cls=DocumentCommand)(_command(handle.handle))
app.command("map", cls=DocumentCommand)(_command(map_pages))
app.command("plan", cls=DocumentCommand)(_command(plan.plan))
app.command("scaling", cls=DocumentCommand)(_command(scaling.scaling))
app.command("schema")(_command(schema.schema))
app.command("serve", cls=DocumentCommand)(_command(serve.serve))
app.command("share", cls=DocumentCommand)(_command(share.share))
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
