"""Reads the tables of all domains: from hypfs, or with stock Xen's hypercalls and its console."""

import errno
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Self

from xengt.documents.timestamp import timestamp
from xengt.errors import XengtError
from xengt.recovery import domain_owner
from xengt.usage import debug_key, hypfs, printed_figures
from xengt.usage.document import (
    COUNTS,
    GRANT_SIZES,
    DefaultLimit,
    DomainUsage,
    Missing,
    Source,
    Usage,
)
from xengt.xen import limits, maptrack
from xengt.xen.xenstore import XenStore
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.ctrl_results import DomainInfo
from xenlib_cffi.errors import XenLibraryError
from xenlib_cffi.hypfs import HypFs

#: seconds; shorter than XenStore's default, as names are optional
NAMES_TIMEOUT_S = 1.0
#: errno of a Xen that was built without hypfs; others pass, and the figures are there then
_NO_HYPFS = {errno.ENOSYS, errno.EOPNOTSUPP}
_NOT_IN_QUERY_SIZE = tuple(key for key in COUNTS if key not in GRANT_SIZES)
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
        UnmetError: Xen must not print so much (see `debug_key.require_fast_console`).
        FailedError: Xen does not print the grant tables.
        MissingLibraryError: Xen's libraries are not installed.
        XenLibraryError: Xen does not answer, or rejects this user.
    """
    created = timestamp("milliseconds")
    with TableReader() as reader:
        printed = None
        if from_console:
            debug_key.require_fast_console(reader.version.commandline)
            printed = debug_key.print_tables(reader.xen)
        # Listed afterwards: a domain that was not printed was created meanwhile.
        source = reader.source
        domains, missing = reader.read()
    if printed is not None:
        source, domains, missing = printed_figures.add(printed, source, domains, missing)
    missing_names: list[Missing] = []
    if names:
        domains, missing_names = _add_names(domains)
    limit = limits.limit(limits.MAX_MAPTRACK_FRAMES, reader.version.commandline)
    return Usage(
        created=created,
        source=source,
        maptrack=maptrack.detect(reader.version.commandline),
        default_max_maptrack_frames=DefaultLimit(limit.frames, limit.source),
        missing=(*missing, *missing_names),
        domains=tuple(domains),
    )


class TableReader:
    """Reads the tables of all domains any number of times, through handles that stay open.

    Uses `XEN_HYPFS_OP_read` and `xc_domain_getinfolist`, and `xc_gnttab_query_size` on a Xen
    without /gnttab in hypfs.

    Attributes:
        xen: an open handle of libxenctrl.
        version: of the hypervisor.
        source: where the figures are read: of the sources of this hypervisor, the one that has
            the most figures.

    Raises:
        MissingLibraryError: Xen's libraries are not installed.
        XenLibraryError: Xen does not answer, or rejects this user.
    """

    source: Source = "hypfs"

    def __init__(self) -> None:
        """Open the handles."""
        with ExitStack() as stack:
            self.xen = stack.enter_context(Ctrl())
            self.version = self.xen.version()
            try:
                with HypFs() as opened:
                    self._figures = stack.enter_context(closing(hypfs.Figures(opened)))
            except XenLibraryError as error:
                self._why = _why_no_figures(error)
                self.source = "query_size"
            self._open = stack.pop_all()

    def __enter__(self) -> Self:
        """Return the reader, which is open already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the handles."""
        self.close()

    def close(self) -> None:
        """Close the handles; has no effect if they are closed already."""
        self._open.close()

    def read(self) -> tuple[list[DomainUsage], list[Missing]]:
        """Read the figures of all domains, and return those that are not available as well.

        A domain that is created or destroyed meanwhile may be left out.

        Raises:
            XenLibraryError: Xen rejects a request.
        """
        if self.source == "query_size":
            return _query_sizes(self.xen, self._why)
        domains = [
            DomainUsage(*_facts(each), *figures)
            for each in self.xen.domains()
            if (figures := self._figures.read(each.domid)) is not None
        ]
        return domains, list(_missing_entries(self._figures.missing))


def _facts(domain: DomainInfo) -> tuple[int, None, str, bool, bool, None]:
    """Return the fields of a `DomainUsage` before its figures."""
    digits = domain.uuid.hex()
    # Not with the class UUID, which takes longer than reading the figures.
    uuid = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    return domain.domid, None, uuid, domain_owner.is_ours(domain.uuid), domain.dying, None


def _why_no_figures(error: XenLibraryError) -> str:
    """Return why hypfs does not report the figures of domains; other errors are raised again."""
    if error.call == "xenhypfs_open" and error.errno in _NO_HYPFS:
        return "this Xen has no hypfs"
    if error.errno == errno.ENOENT:
        return f"this Xen's hypfs has no {maptrack.HYPFS_DIRECTORY}"
    raise error


def _missing_entries(keys: Sequence[str]) -> Iterable[Missing]:
    """Yield the figures that a hypervisor with only a part of the patches lacks."""
    if keys:
        names = ", ".join(hypfs.ENTRIES[key] for key in keys)
        yield Missing(
            tuple(keys),
            f"{maptrack.HYPFS_DIRECTORY} in this Xen's hypfs does not report {names}",
            "boot Xen 4.19 or later with the complete series (patches/README.md)",
        )


def _query_sizes(xen: Ctrl, why: str) -> tuple[list[DomainUsage], list[Missing]]:
    """Read the sizes of grant tables, which every Xen reports.

    Args:
        xen: an open handle of libxenctrl.
        why: why the other figures are not available.
    """
    domains, missing = [], [Missing(_NOT_IN_QUERY_SIZE, why, _STOCK_REMEDY)]
    for each in xen.domains():
        try:
            frames, limit = xen.grant_size(each.domid)
        except XenLibraryError as error:
            if not _still_exists(xen, each):
                continue
            missing.append(
                Missing(
                    GRANT_SIZES,
                    str(error),
                    "see `xl dmesg`; an XSM policy may forbid the operation",
                )
            )
            domains.append(DomainUsage(*_facts(each)))
        else:
            domains.append(DomainUsage(*_facts(each), frames, limit))
    return domains, missing


def _still_exists(xen: Ctrl, domain: DomainInfo) -> bool:
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
