"""Every domain's tables and mappings on a terminal, or as plain lines where there is none."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xengt.report.terminal.console import lines, print_table
from xengt.usage import COUNTS, DomainUsage, Missing, Usage
from xengt.xen.maptrack import DESCRIPTIONS

#: What could not be had.
UNKNOWN = "-"
TITLES = {
    "grant_frames": "grant frames",
    "max_grant_frames": "limit",
    "maptrack_frames": "maptrack frames",
    "max_maptrack_frames": "limit",
    "fast_live": "fast live",
    "fast_maps": "fast ever",
    "slow_live": "slow live",
    "slow_maps": "slow ever",
}


def show(usage: Usage, console: Console) -> None:
    """Print a reading: a row for each domain, and below it what could not be had.

    Args:
        usage: one reading.
        console: where to.
    """
    print_table(console, table(usage))
    lines(console, notes(usage))


def table(usage: Usage, *, stacked: bool = False) -> Table:
    """Make the table: frames are of 4 KiB, mappings those that the domain made.

    Args:
        usage: one reading.
        stacked: the words of a head one above the other, to be narrow.
    """
    made = Table(box=None, pad_edge=False, header_style="bold")
    made.add_column("domid", justify="right")
    made.add_column("name", no_wrap=True)
    for key in COUNTS:
        title = TITLES[key].replace(" ", "\n") if stacked else TITLES[key]
        # Where a terminal is too narrow even so, a figure goes on below: nothing is cut.
        made.add_column(title, justify="right", overflow="fold")
    nameless = any("name" in each.keys for each in usage.missing)
    for domain in usage.domains:
        figures = (getattr(domain, key) for key in COUNTS)
        made.add_row(
            str(domain.domid),
            Text(_name(domain, nameless=nameless)),
            *(UNKNOWN if figure is None else f"{figure:,}" for figure in figures),
        )
    return made


def notes(usage: Usage) -> Iterator[str]:
    """Say which maptrack it is, what could not be had, and what to do about it.

    Args:
        usage: one reading.
    """
    yield f"maptrack: {DESCRIPTIONS[usage.maptrack]}"
    for each in usage.missing:
        yield f"{UNKNOWN} in {_columns(each)}: {each.why}: {each.remedy}"
    if any("max_maptrack_frames" in each.keys for each in usage.missing):
        limit = usage.default_max_maptrack_frames
        yield (
            f"a domain made without a maptrack limit of its own gets {limit.frames:,} frames "
            f"({limit.source})"
        )


def _name(domain: DomainUsage, *, nameless: bool) -> str:
    name = domain.name or (UNKNOWN if nameless else "")
    return f"{name} (dying)".lstrip() if domain.dying else name


def _columns(missing: Missing) -> str:
    """Name columns as their heads do; two of them are limits."""
    names = (
        f"{TITLES[COUNTS[COUNTS.index(key) - 1]]}' limit" if key.startswith("max_") else
        TITLES.get(key, key)
        for key in missing.keys
    )  # fmt: skip
    return ", ".join(names)
