#!/usr/bin/env python3
"""Prints the completion script of a shell for xengt: completion.py {bash|zsh|fish}.

The script asks xengt for the words, so it depends on the program's name only. It is printed for a
command without options, because xengt cannot be imported in the source tree that a package is built
from: its extension modules are elsewhere.
"""

import io
import os
import sys
from contextlib import redirect_stdout, suppress

import typer

#: zsh calls the file itself at the first completion, and expects the result of that call
ZSH_FIRST_CALL = '[[ $zsh_eval_context[-1] == loadautofunc ]] && _xengt_completion "$@"'

app = typer.Typer()


@app.command()
def _nothing() -> None:
    """Stand for the commands of xengt."""


def main(shell: str) -> None:
    """Print the script.

    Args:
        shell: `bash`, `zsh` or `fish`.
    """
    os.environ["_XENGT_COMPLETE"] = f"source_{shell}"
    script = io.StringIO()
    with redirect_stdout(script), suppress(SystemExit):
        app(prog_name="xengt")
    print(script.getvalue().strip())  # zsh reads `#compdef` in the first line only
    if shell == "zsh":
        print(ZSH_FIRST_CALL)


if __name__ == "__main__":
    main(sys.argv[1])
