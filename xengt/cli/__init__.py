"""The command line: one module a command, registered here.

No command imports what a machine without Xen lacks before it runs, so that
`xengt --help` works everywhere.
"""

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import typer

from xengt.cli import handle
from xengt.errors import XengtError

# As a shell reports a command that SIGINT ended.
_INTERRUPTED = 130
_P = ParamSpec("_P")

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def _xengt() -> None:
    """Exercise and measure Xen grant tables on a real host."""


def _command(function: Callable[_P, None]) -> Callable[_P, None]:
    """Give a command the exit codes agreed on, whatever ends it."""

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


app.command("handle")(_command(handle.handle))


def main() -> None:
    """Run the `xengt` command."""
    app(prog_name="xengt")
