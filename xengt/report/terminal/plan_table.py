"""What domains need of their tables, and dom0 of its own, as two tables and a verdict."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from xengt.plan import FramePlan
from xengt.report.terminal.console import lines, print_table


def show(plan: FramePlan, console: Console) -> None:
    """Print what a domain needs by its parts, then the frames of each table and their limits.

    Args:
        plan: what was asked, and what came of it.
        console: where to.
    """
    print_table(console, _parts(plan))
    lines(console, ["", *(f"{part.what}: {part.formula} ({part.source})" for part in plan.parts)])
    lines(console, [""])
    print_table(console, _tables(plan))
    lines(console, ["", *_verdict(plan)])


def _parts(plan: FramePlan) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold")
    made.add_column("of a domain")
    made.add_column("references", justify="right")
    made.add_column("dom0's mappings", justify="right")
    for part in plan.parts:
        made.add_row(part.what, f"{part.references:,}", f"{part.mappings:,}")
    made.add_row("in all", f"{plan.references:,}", f"{plan.mappings:,}", style="bold")
    return made


def _tables(plan: FramePlan) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("table", "frames", "limit"):
        made.add_column(title, justify="left" if title == "table" else "right", no_wrap=True)
    made.add_column("")
    for table in plan.tables:
        made.add_row(table.table, f"{table.frames:,}", f"{table.limit:,}", table.formula)
    return made


def _verdict(plan: FramePlan) -> Iterator[str]:
    sources = {table.option.split()[-1]: table.source for table in plan.tables}
    yield "limits: " + ", ".join(f"{name} ({source})" for name, source in sources.items())
    for table in plan.tables:
        if not table.fits:
            yield (
                f"{table.table}: {table.frames - table.limit:,} frames too few: "
                f"raise {table.option}"
            )
    count = "1 domain" if plan.domains == 1 else f"{plan.domains:,} domains"
    enough = "enough" if plan.fits else "not enough"
    yield f"{count}: {enough} on stock Xen, with grant tables of version 1, which Linux uses"
