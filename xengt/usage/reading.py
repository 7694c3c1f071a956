"""Reads the tables of all domains: from hypfs, or with stock Xen's hypercalls and its console."""

import errno
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from xengt.errors import XengtError
from xengt.recovery import domain_owner
from xengt.usage import console, hypfs, printed_figures
from xengt.usage.document import COUNTS, DefaultLimit, DomainUsage, Missing, Source, Usage
from xengt.xen import limits, maptrack
from xengt.xen.xenstore import XenStore
from xenlib_cffi import ctrl
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import XenLibraryError
from xenlib_cffi.hypfs import HypFs

#: seconds; shorter than XenStore's default, as names are optional
NAMES_TIMEOUT_S = 1.0
_STOCK_REMEDY = (
    f"{printed_figures.PATCHED_REMEDY}; on stock Xen, `xengt usage --from-console` reads maptrack "
    "frames and who maps which reference"
)


def read_usage(*, names: bool = True, from_console: bool = False) -> Usage:
    """Read the tables and mappings of all domains.

    Uses `XEN_HYPFS_OP_read` and `xc_domain_getinfolist`, `xc_gnttab_query_size` on a Xen
    without /gnttab in hypfs, and XenStore for names.

    Args:
        names: whether to read the domains' names from XenStore.
        from_console: whether to have Xen print all grant tables on its console, and read there
            who maps which reference and, on stock Xen, the sizes of maptrack tables.

    Raises:
        UnmetError: Xen must not print so much (see `console.require_fast_console`).
        FailedError: Xen does not print the grant tables.
        MissingLibraryError: Xen's libraries are not installed.
        XenLibraryError: Xen does not answer, or rejects this user.
    """
    created = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    with Ctrl() as xen:
        commandline = xen.version().commandline
        printed = None
        if from_console:
            console.require_fast_console(commandline)
            printed = console.print_tables(xen)
        # Listed afterwards: a domain that was not printed was created meanwhile.
        source, domains, missing = _read_domains(xen)
    if printed is not None:
        source, domains, missing = printed_figures.add(printed, source, domains, missing)
    missing_names: list[Missing] = []
    if names:
        domains, missing_names = _add_names(domains)
    limit = limits.limit(limits.MAX_MAPTRACK_FRAMES, commandline)
    return Usage(
        created=created,
        source=source,
        maptrack=maptrack.detect(commandline),
        default_max_maptrack_frames=DefaultLimit(limit.frames, limit.source),
        missing=(*missing, *missing_names),
        domains=tuple(domains),
    )


def _read_domains(xen: Ctrl) -> tuple[Source, list[DomainUsage], list[Missing]]:
    """Read the domains from the source of this hypervisor that has the most figures."""
    try:
        with HypFs() as opened:
            counts = hypfs.counts(opened)
    except XenLibraryError as error:
        if error.call == "xenhypfs_open":
            why = "this Xen has no hypfs"
        elif error.errno == errno.ENOENT:
            why = f"this Xen's hypfs has no {maptrack.HYPFS_DIRECTORY}"
        else:
            raise
        return "query_size", *_query_sizes(xen, why)
    # Listed after the figures: a domain in one list only was created or destroyed meanwhile.
    domains = [
        replace(_without_figures(each), **counts[each.domid])
        for each in xen.domains()
        if each.domid in counts
    ]
    return "hypfs", domains, list(_missing_entries(domains))


def _without_figures(domain: ctrl.DomainInfo) -> DomainUsage:
    """Return what Xen's list of domains says about a domain."""
    return DomainUsage(
        domain.domid,
        uuid=str(UUID(bytes=domain.uuid)),
        own=domain_owner.is_ours(domain.uuid),
        dying=domain.dying,
    )


def _missing_entries(domains: Iterable[DomainUsage]) -> Iterable[Missing]:
    """Yield the figures that a hypervisor with only a part of the patches lacks."""
    keys = tuple(key for key in COUNTS if any(getattr(each, key) is None for each in domains))
    if keys:
        names = ", ".join(hypfs.ENTRIES[key] for key in keys)
        yield Missing(
            keys,
            f"{maptrack.HYPFS_DIRECTORY} in this Xen's hypfs does not report {names}",
            "boot a hypervisor with the complete series (patches/README.md)",
        )


def _query_sizes(xen: Ctrl, why: str) -> tuple[list[DomainUsage], list[Missing]]:
    """Read the sizes of grant tables, which every Xen reports.

    Args:
        xen: an open handle of libxenctrl.
        why: why the other figures are not available.
    """
    domains, missing = [], [Missing(COUNTS[2:], why, _STOCK_REMEDY)]
    for each in xen.domains():
        usage = _without_figures(each)
        try:
            frames, limit = xen.grant_size(each.domid)
        except XenLibraryError as error:
            if not _still_exists(xen, each):
                continue
            missing.append(
                Missing(
                    COUNTS[:2], str(error), "see `xl dmesg`; an XSM policy may forbid the operation"
                )
            )
        else:
            usage = replace(usage, grant_frames=frames, max_grant_frames=limit)
        domains.append(usage)
    return domains, missing


def _still_exists(xen: Ctrl, domain: ctrl.DomainInfo) -> bool:
    """Return whether a domain exists and was not replaced by one with the same domid."""
    current = xen.domain(domain.domid)
    return current is not None and current.uuid == domain.uuid


def _add_names(domains: list[DomainUsage]) -> tuple[list[DomainUsage], list[Missing]]:
    """Add the domains' names, up to the first error of XenStore."""
    named = list(domains)
    try:
        with XenStore(deadline_s=NAMES_TIMEOUT_S) as store:
            for index, each in enumerate(domains):
                named[index] = replace(each, name=store.name_of(each.domid))
    except XengtError as error:
        return named, [Missing(("name",), error.what, error.remedy)]
    return named, []
