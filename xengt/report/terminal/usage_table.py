"""The grant and maptrack usage of each domain as a table for a terminal or a pipe."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xengt.report.quantity import NO_VALUE
from xengt.report.terminal.console import print_lines, print_table
from xengt.usage import DomainUsage, Missing, Usage
from xengt.xen.maptrack import DESCRIPTIONS

TITLES = {
    "grant_frames": "grant frames",
    "max_grant_frames": "limit",
    "maptrack_frames": "maptrack frames",
    "max_maptrack_frames": "limit",
    "fast_live": "fast now",
    "fast_maps": "fast since creation",
    "slow_live": "slow now",
    "slow_maps": "slow since creation",
}
"""The column title of each key of `DomainUsage` in the table of domains."""
FLUSH_TITLES = {
    "tlb_flushes": "TLB flushes",
    "skipped_tlb_flushes": "skipped TLB flushes",
}
"""The column title of each key of `DomainUsage` in the table of flushes."""
MAX_RANGES = 8
"""Ranges of references to show for a mapper; the JSON document has all."""


def show(usage: Usage, console: Console) -> None:
    """Print a reading.

    Prints a row for each domain; a row of TLB flushes for each domain whose unmaps have caused or
    skipped some; who maps whose references, if that was read; and notes on the maptrack and on
    missing figures.

    Args:
        usage: a reading.
        console: the console to print on.
    """
    print_table(console, table(usage))
    more = [table for table in (flushes_table(usage), mappers_table(usage)) if table is not None]
    for each in more:
        print_lines(console, [""])
        print_table(console, each)
    if more:
        print_lines(console, [""])
    print_lines(console, notes(usage))


def table(usage: Usage, *, stacked: bool = False) -> Table:
    """Build the table. Frames are of 4 KiB; mappings are counted for the mapper.

    Args:
        usage: a reading.
        stacked: whether the words of a column title are stacked, for a narrow terminal.
    """
    result = Table(box=None, pad_edge=False, header_style="bold")
    result.add_column("domid", justify="right")
    result.add_column("name", no_wrap=True)
    for title in TITLES.values():
        shown = title.replace(" ", "\n") if stacked else title
        # On a terminal that is still too narrow, a figure is wrapped rather than truncated.
        result.add_column(shown, justify="right", overflow="fold")
    names_missing = any("name" in missing.keys for missing in usage.missing)
    for domain in usage.domains:
        figures = (getattr(domain, key) for key in TITLES)
        result.add_row(
            str(domain.domid),
            Text(_format_name(domain, names_missing=names_missing)),
            *(NO_VALUE if figure is None else f"{figure:,}" for figure in figures),
        )
    return result


def flushes_table(usage: Usage) -> Table | None:
    """Build the table of TLB flushes for unmaps; None if no domain has caused or skipped any.

    Args:
        usage: a reading.
    """
    mappers = [each for each in usage.domains if each.tlb_flushes or each.skipped_tlb_flushes]
    if not mappers:
        return None
    result = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("mapper", *FLUSH_TITLES.values()):
        result.add_column(title, justify="right")
    for each in mappers:
        figures = (each.domid, *(getattr(each, key) for key in FLUSH_TITLES))
        result.add_row(*(f"{figure:,}" for figure in figures))
    return result


def mappers_table(usage: Usage) -> Table | None:
    """Build the table of who maps whose references; None if this was not read.

    Args:
        usage: a reading.
    """
    if all(domain.mapped_by is None for domain in usage.domains):
        return None
    result = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("granter", "mapper", "references", "CPU mappings", "device mappings"):
        result.add_column(title, justify="right")
    result.add_column("grant references", no_wrap=True)
    for granter in usage.domains:
        for each in granter.mapped_by or ():
            result.add_row(
                *(f"{figure}" for figure in (granter.domid, each.domid)),
                f"{each.references:,}",
                f"{each.host_writable + each.host_readonly:,}",
                f"{each.device_writable + each.device_readonly:,}",
                _shorten(each.grefs),
            )
    return result


def _shorten(grefs: str) -> str:
    """Shorten a list of ranges to the first `MAX_RANGES`."""
    ranges = grefs.split(",")
    more = len(ranges) - MAX_RANGES
    return grefs if more <= 0 else f"{','.join(ranges[:MAX_RANGES])} and {more} more ranges"


def notes(usage: Usage) -> Iterator[str]:
    """Describe the maptrack variant, and the missing figures with reason and remedy.

    Args:
        usage: a reading.

    Yields:
        One line each.
    """
    yield f"maptrack: {DESCRIPTIONS[usage.maptrack]}"
    for missing in usage.missing:
        remedy = f". To get them, {missing.remedy}" if missing.remedy else ""
        yield f"not available: {_column_names(missing)} ({missing.why}){remedy}"
    if any("max_maptrack_frames" in missing.keys for missing in usage.missing):
        limit = usage.default_max_maptrack_frames
        yield (
            "default maptrack limit of a domain without one in its configuration: "
            f"{limit.frames:,} frames ({limit.source})"
        )


def _format_name(domain: DomainUsage, *, names_missing: bool) -> str:
    name = domain.name or (NO_VALUE if names_missing else "")
    return f"{name} (dying)".lstrip() if domain.dying else name


def _column_names(missing: Missing) -> str:
    """Return the titles of columns, the two columns called limit with what they limit."""
    names = (
        f"limit of {TITLES[key.removeprefix('max_')]}" if key.startswith("max_") else
        (TITLES | FLUSH_TITLES).get(key, key.replace("_", " "))
        for key in missing.keys
    )  # fmt: skip
    return ", ".join(names)
