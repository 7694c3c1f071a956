"""A frame plan as tables for a terminal or a pipe: per domain, per table, and a verdict."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from xengt.plan import FramePlan, Frames
from xengt.report.terminal.console import print_lines, print_table


def show(plan: FramePlan, console: Console) -> None:
    """Print the requirements of a domain by part, then the frames and the limit of each table.

    Args:
        plan: the plan.
        console: the console to print on.
    """
    print_table(console, _parts_table(plan))
    formulas = (f"{part.what}: {part.formula} ({part.source})" for part in plan.parts)
    print_lines(console, ["", *formulas, ""])
    print_table(console, _frames_table(plan))
    print_lines(console, ["", *_describe_verdict(plan)])


def _parts_table(plan: FramePlan) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("per domain")
    table.add_column("references", justify="right")
    table.add_column("mappings", justify="right")
    table.add_column("mapped by")
    for part in plan.parts:
        table.add_row(part.what, f"{part.references:,}", f"{part.mappings:,}", plan.mapper(part))
    table.add_row("total", f"{plan.references:,}", f"{plan.mappings:,}", style="bold")
    return table


def _frames_table(plan: FramePlan) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("table", "frames", "limit"):
        table.add_column(title, justify="left" if title == "table" else "right", no_wrap=True)
    table.add_column("")
    for frames in plan.tables:
        table.add_row(frames.table, f"{frames.frames:,}", f"{frames.limit:,}", frames.formula)
    return table


def _owner(frames: Frames) -> str:
    owner, _, table = frames.table.partition(", ")
    return f"{owner}'s {'grant' if table.startswith('grant') else 'maptrack'} table"


def _describe_verdict(plan: FramePlan) -> Iterator[str]:
    sources = [f"{_owner(frames)}: {frames.source}" for frames in plan.tables]
    yield "limits: " + ", ".join(dict.fromkeys(sources))
    for frames in plan.tables:
        if not frames.fits:
            yield (
                f"{frames.table}: the limit is {frames.frames - frames.limit:,} frames too low: "
                f"raise {frames.option}"
            )
    domains = "1 domain" if plan.domains == 1 else f"{plan.domains:,} domains"
    sufficient = "sufficient" if plan.fits else "not sufficient"
    yield (
        f"the limits are {sufficient} for {domains} on stock Xen with grant tables of version 1, "
        "the version that Linux uses"
    )
