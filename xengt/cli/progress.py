"""The progress of a benchmark: a bar on a terminal, a line for each setup elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBar

from xengt.bench.case import DECLARED, FIELD_DEFAULTS, Setup
from xengt.bench.case_text import phrase
from xengt.bench.run import Progress


@contextmanager
def progress_display() -> Iterator[Callable[[Progress], None]]:
    """Show progress on standard error for as long as the context lasts.

    Yields:
        A function that shows the progress it is given.
    """
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _line_per_setup()
        return
    # No automatic refresh: its thread would wake up during the measurement.
    with ProgressBar(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        auto_refresh=False,
    ) as bar:
        task = bar.add_task("", total=1.0)

        def show(progress: Progress) -> None:
            bar.update(
                task,
                description=_description(progress),
                completed=(progress.index + progress.done) / progress.setups,
                refresh=True,
            )

        yield show


def _line_per_setup() -> Callable[[Progress], None]:
    last: Setup | None = None

    def show(progress: Progress) -> None:
        nonlocal last
        if progress.setup != last:
            last = progress.setup
            print(_description(progress), file=sys.stderr, flush=True)

    return show


def _description(progress: Progress) -> str:
    setup = progress.setup
    # The number of references is rarely what one looks for, and is never at its default.
    names = [
        name
        for name in DECLARED
        if name not in FIELD_DEFAULTS
        or (name != "references" and getattr(setup, name) != FIELD_DEFAULTS[name])
    ]
    return f"setup {progress.index + 1} of {progress.setups}: {phrase(setup, names)}"
