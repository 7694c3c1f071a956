"""Adds what Xen printed on its console to the figures of domains, and reports what is missing."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from xengt.sharing.references import format_grefs
from xengt.usage import debug_key
from xengt.usage.document import MAPTRACK_SIZES, DomainUsage, Missing, Source

#: for counters of mappings, which stock Xen does not have
PATCHED_REMEDY = "boot the patched hypervisor, built with hypfs (patches/README.md)"


def add(
    printed: debug_key.Printed, source: Source, domains: list[DomainUsage], missing: list[Missing]
) -> tuple[Source, list[DomainUsage], list[Missing]]:
    """Add the sizes of maptrack tables that are not known, and who maps which reference.

    Args:
        printed: what Xen printed.
        source: where the figures of the domains were read.
        domains: the domains, listed after Xen had printed.
        missing: the figures that are not available.

    Returns:
        The source, the domains and the missing figures, with what Xen printed.
    """
    result, garbled = [], []
    for each in domains:
        table = printed.tables.get(each.domid)
        usage = each
        if table is not None:
            if each.max_maptrack_frames is None:
                usage = replace(usage, **{key: getattr(table, key) for key in MAPTRACK_SIZES})
            if table.complete:
                usage = replace(usage, mapped_by=debug_key.mapped_by(table.entries))
            else:
                garbled.append(each.domid)
        result.append(usage)
    of_all: tuple[str, ...] = ("mapped_by",)
    if source == "query_size":
        first, *others = missing
        counters = tuple(key for key in first.keys if key not in MAPTRACK_SIZES)
        missing = [replace(first, keys=counters, remedy=PATCHED_REMEDY), *others]
        source, of_all = "console", (*MAPTRACK_SIZES, *of_all)
    missing += _missing_domains(printed, [each.domid for each in domains], of_all, garbled)
    return source, result, missing


def _missing_domains(
    printed: debug_key.Printed, domids: Sequence[int], keys: tuple[str, ...], garbled: Sequence[int]
) -> Iterator[Missing]:
    """Yield the figures of domains that could not be read from the output.

    Args:
        printed: what Xen printed.
        domids: the domains, listed after Xen had printed.
        keys: the figures that are read from the output.
        garbled: the domains whose entries could not be read.
    """
    absent = [domid for domid in domids if domid not in printed.tables]
    first = min(printed.tables, default=None)
    lost = [d for d in absent if not printed.from_start and (first is None or d < first)]
    reasons = (
        (keys, lost, "the console ring is too small for the output of debug key g",
         "add conring_size=1M, or more, to Xen's command line"),
        (keys, [d for d in absent if d not in lost], "created after Xen had printed its domains",
         "repeat the command"),
        (("mapped_by",), garbled, "another message interrupts the output of debug key g",
         "repeat the command"),
    )  # fmt: skip
    for names, of_reason, why, remedy in reasons:
        if of_reason:
            yield Missing(names, f"domains {format_grefs(of_reason)}: {why}", remedy)
