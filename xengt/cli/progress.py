"""How far a benchmark is: a bar on a terminal, a line a case where there is none."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from xengt.bench import run
from xengt.bench.plan import Setup


@contextmanager
def progress_display() -> Iterator[Callable[[run.Progress], None]]:
    """Show progress on standard error for as long as the context lasts."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _lines()
        return
    # No refresh of its own: a thread that wakes would be measured along.
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        auto_refresh=False,
    ) as bar:
        task = bar.add_task("", total=1.0)

        def show(where: run.Progress) -> None:
            bar.update(
                task,
                description=_words(where),
                completed=(where.index + where.done) / where.cases,
                refresh=True,
            )

        yield show


def _lines() -> Callable[[run.Progress], None]:
    last: Setup | None = None

    def show(where: run.Progress) -> None:
        nonlocal last
        if where.setup != last:
            last = where.setup
            print(_words(where), file=sys.stderr, flush=True)

    return show


def _words(where: run.Progress) -> str:
    setup = where.setup
    varied = [
        f"{setup.engine}, {setup.granter}",
        f"batch {setup.batch}",
        f"{setup.threads} threads",
    ]
    if setup.granters > 1:
        varied.append(f"{setup.granters} granters")
    if setup.mappings > 1:
        varied.append(f"mapping {setup.mappings}")
    if setup.hold:
        varied.append(f"{setup.hold} held")
    if setup.readonly:
        varied.append("readonly")
    if setup.rate:
        varied.append(f"{setup.rate:g} calls/s")
    return f"case {where.index + 1} of {where.cases}: {', '.join(varied)}"
