#!/usr/bin/env python3
"""Prints the completion script of a shell for xengt: completion.py {bash|zsh|fish}.

The script asks xengt for the words, so it depends on the program's name only. It is printed for a
command without options, because xengt cannot be imported in the source tree that a package is built
from: its extension modules are elsewhere.
"""

import os
import sys

import typer

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
    app(prog_name="xengt")


if __name__ == "__main__":
    main(sys.argv[1])
