"""Adds what Xen printed on its console to the figures of domains, and reports what is missing."""

from dataclasses import replace

from xengt.sharing.references import format_grefs
from xengt.usage import debug_key
from xengt.usage.document import COUNTS, DomainUsage, Missing, Source

#: for counters of mappings, which stock Xen does not have
PATCHED_REMEDY = "boot the patched hypervisor, built with hypfs (patches/README.md)"
#: figures that debug key g prints for every domain
_PRINTED = ("maptrack_frames", "max_maptrack_frames")


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
                usage = replace(usage, **{key: getattr(table, key) for key in _PRINTED})
            if table.complete:
                usage = replace(usage, mapped_by=debug_key.mapped_by(table.entries))
            else:
                garbled.append(each.domid)
        result.append(usage)
    stock = source == "query_size"
    if stock:
        counters = COUNTS[2 + len(_PRINTED) :]
        missing = [replace(missing[0], keys=counters, remedy=PATCHED_REMEDY), *missing[1:]]
    keys = (*_PRINTED, "mapped_by") if stock else ("mapped_by",)
    absent = [each.domid for each in domains if each.domid not in printed.tables]
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
    missing += [
        Missing(names, f"domains {format_grefs(domids)}: {why}", remedy)
        for names, domids, why, remedy in reasons
        if domids
    ]
    return "console" if stock else source, result, missing
