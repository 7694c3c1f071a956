"""One reading of every domain's tables: from hypfs, or else from what stock Xen offers."""

import errno
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from xengt.errors import XengtError
from xengt.usage import hypfs
from xengt.usage.document import COUNTS, DefaultLimit, DomainUsage, Missing, Source, Usage
from xengt.xen import limits, maptrack
from xengt.xen.xenstore import XenStore
from xenlib_cffi import ctrl
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import XenLibraryError
from xenlib_cffi.hypfs import HypFs

#: A name is a convenience: nobody waits for it as long as for what cannot be done without.
NAMES_WITHIN_S = 1.0
_PATCHED = "boot the patched hypervisor, built with hypfs (patches/README.md)"


def read_usage(*, names: bool = True) -> Usage:
    """Read all of it, as it is now.

    Stands on `XEN_HYPFS_OP_read`, `xc_domain_getinfolist`, where there is no
    /gnttab in hypfs on `xc_gnttab_query_size`, and on XenStore for names.

    Args:
        names: ask XenStore for the domains' names.

    Raises:
        MissingLibraryError: Xen's libraries are not here.
        XenLibraryError: Xen does not answer, or not to this user.
    """
    created = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    with Ctrl() as xen:
        words = xen.version().commandline
        source, domains, missing = _domains(xen)
    nameless: list[Missing] = []
    if names:
        domains, nameless = _named(domains)
    limit = limits.limit(limits.MAX_MAPTRACK_FRAMES, words)
    return Usage(
        created=created,
        source=source,
        maptrack=maptrack.running(words),
        default_max_maptrack_frames=DefaultLimit(limit.frames, limit.source),
        missing=(*missing, *nameless),
        domains=tuple(domains),
    )


def _domains(xen: Ctrl) -> tuple[Source, list[DomainUsage], list[Missing]]:
    """Read the domains where this hypervisor tells most of them."""
    try:
        with HypFs() as opened:
            counts = hypfs.counts(opened)
    except XenLibraryError as error:
        if error.call == "xenhypfs_open":
            why = "this Xen has no hypfs"
        elif error.errno == errno.ENOENT:
            why = f"this Xen's hypfs has no {maptrack.TREE}"
        else:
            raise
        return "query_size", *_stock(xen, why)
    # Listed after: a domain that is only in one of the two has come or gone meanwhile.
    domains = [
        DomainUsage(each.domid, dying=each.dying, **counts[each.domid])
        for each in xen.domains()
        if each.domid in counts
    ]
    return "hypfs", domains, list(_unknown(domains))


def _unknown(domains: Iterable[DomainUsage]) -> Iterable[Missing]:
    """Say what a hypervisor with a part of the patches does not tell."""
    keys = tuple(key for key in COUNTS if any(getattr(each, key) is None for each in domains))
    if keys:
        names = ", ".join(hypfs.ENTRIES[key] for key in keys)
        yield Missing(
            keys,
            f"this Xen's hypfs has {maptrack.TREE}, but not {names} of every domain",
            "boot a hypervisor with the whole series (patches/README.md)",
        )


def _stock(xen: Ctrl, why: str) -> tuple[list[DomainUsage], list[Missing]]:
    """Read what every Xen tells: the sizes of grant tables."""
    domains, missing = [], [Missing(COUNTS[2:], why, _PATCHED)]
    for each in xen.domains():
        found = DomainUsage(each.domid, dying=each.dying)
        try:
            frames, most = xen.grant_size(each.domid)
        except XenLibraryError as error:
            if not _is_there(xen, each):
                continue
            missing.append(Missing(COUNTS[:2], str(error), "see `xl dmesg`: a security policy?"))
        else:
            found = replace(found, grant_frames=frames, max_grant_frames=most)
        domains.append(found)
    return domains, missing


def _is_there(xen: Ctrl, domain: ctrl.DomainInfo) -> bool:
    """Tell a domain that is refused from one that has gone, or was replaced."""
    now = xen.domain(domain.domid)
    return now is not None and now.uuid == domain.uuid


def _named(domains: list[DomainUsage]) -> tuple[list[DomainUsage], list[Missing]]:
    """Give the domains their names; XenStore's first failure ends the asking."""
    named = list(domains)
    try:
        with XenStore(deadline_s=NAMES_WITHIN_S) as store:
            for index, each in enumerate(domains):
                named[index] = replace(each, name=store.name_of(each.domid))
    except XengtError as error:
        return named, [Missing(("name",), error.what, error.remedy)]
    return named, []
