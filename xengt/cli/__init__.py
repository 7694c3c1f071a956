"""The command line: one module per command, registered here.

Importing a command does not load Xen's libraries, so `xengt --help` works on any machine.
"""

import signal
import sys
from collections.abc import Callable
from functools import wraps
from types import FrameType
from typing import Annotated, NoReturn, ParamSpec

import typer

from xengt import __version__
from xengt.cli import bench, check, compare, handle, plan, schema, serve, share, usage
from xengt.cli.map import map_pages
from xengt.errors import XengtError

#: exit status that a shell reports for a command that SIGINT ended
_INTERRUPTED = 130
_P = ParamSpec("_P")

# A plain traceback of an unexpected exception can be copied into an issue.
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
        try:
            function(*args, **options)
        except XengtError as error:
            print(f"xengt: {error.what}", file=sys.stderr)
            if error.remedy:
                print(f"  {error.remedy}", file=sys.stderr)
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as interrupt:
            raise typer.Exit(_INTERRUPTED) from interrupt

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


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    """Raise what Ctrl-C raises, so that the command cleans up domains, grants and mappings."""
    del number, frame
    raise KeyboardInterrupt


def main() -> None:
    """Run the `xengt` command."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _terminated)
    app(prog_name="xengt")
