"""Metrics of the host: its hypervisor, and every domain's tables and mappings."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter

from xengt.errors import XengtError
from xengt.recovery import domain_nodes
from xengt.serve.metrics import definitions
from xengt.serve.metrics.metric_definition import MetricDefinition
from xengt.serve.metrics.metric_families import MetricFamily, columns, family, single
from xengt.usage import DomainUsage, Missing, TableReader
from xengt.xen import maptrack
from xenlib_cffi.errors import BindingError

log = logging.getLogger(__name__)

#: attribute of `DomainUsage` → metric with one series for each domain
_TABLE_SIZES = {
    "grant_frames": definitions.GRANT_FRAMES,
    "max_grant_frames": definitions.GRANT_FRAMES_LIMIT,
    "maptrack_frames": definitions.MAPTRACK_FRAMES,
    "max_maptrack_frames": definitions.MAPTRACK_FRAMES_LIMIT,
}
#: end of two attributes of `DomainUsage` → metric with one series for each domain and record
_MAPPING_COUNTS = {"live": definitions.MAPPINGS, "maps": definitions.MAPPINGS_MADE}
_RECORDS = ("fast", "slow")
#: attribute of `DomainUsage` → metric with one series for each domain that has made mappings
_FLUSHES = {
    "tlb_flushes": definitions.TLB_FLUSHES,
    "skipped_tlb_flushes": definitions.SKIPPED_TLB_FLUSHES,
}
_YES_NO = {True: "yes", False: "no"}


class HostMetrics:
    """Source of the host's metrics, which are read from Xen during every scrape.

    The series of a destroyed domain disappear.

    Attributes:
        max_domains: how many domains have series; those with the lowest domids do.

    Args:
        max_domains: see above.
        name_of: returns a domain's name by domid, or None.
    """

    def __init__(self, max_domains: int, name_of: Callable[[int], str | None]) -> None:
        """Read nothing yet."""
        self.max_domains = max_domains
        self._name_of = name_of
        self._failures = 0
        #: open until it fails, because opening takes longer than reading
        self._reader: TableReader | None = None
        self._hypervisor: MetricFamily

    def families(self) -> Iterator[MetricFamily]:
        """Read Xen and yield what it reports; a failure is counted and logged."""
        began = time.perf_counter()
        try:
            domains, missing = self._read()
        except (XengtError, BindingError) as error:
            log.warning("cannot read the host state from Xen: %s", error)
            self._failures += 1
            self._reader = None
        else:
            yield self._hypervisor
            yield from self._domains(domains)
            unavailable = sorted({key for each in missing for key in each.keys})
            yield family(definitions.UNAVAILABLE, [((key,), 1) for key in unavailable])
        yield single(definitions.HOST_READ_FAILURES, self._failures)
        yield single(definitions.HOST_READ_SECONDS, time.perf_counter() - began)

    def _read(self) -> tuple[list[DomainUsage], list[Missing]]:
        if self._reader is None:
            reader = TableReader()
            self._hypervisor = _hypervisor_info(reader)
            self._reader = reader
        return self._reader.read()

    def _domains(self, domains: Sequence[DomainUsage]) -> Iterator[MetricFamily]:
        exported = domains[: self.max_domains]
        domids = [str(each.domid) for each in exported]
        yield family(
            definitions.DOMAIN_INFO,
            [
                ((domid, _YES_NO[each.dying], self._name(each), _YES_NO[each.own]), 1)
                for domid, each in zip(domids, exported, strict=True)
            ],
        )
        yield single(definitions.DOMAINS, len(domains))
        yield single(definitions.DOMAINS_LEFT_OUT, len(domains) - len(exported))
        by_domain = tuple((domid,) for domid in domids)
        for attribute, definition in _TABLE_SIZES.items():
            yield _available(definition, by_domain, list(map(attrgetter(attribute), exported)))
        by_record = tuple((domid, record) for record in _RECORDS for domid in domids)
        for ending, definition in _MAPPING_COUNTS.items():
            numbers = [
                number
                for record in _RECORDS
                for number in map(attrgetter(f"{record}_{ending}"), exported)
            ]
            yield _available(definition, by_record, numbers)
        mappers = [each for each in exported if each.fast_maps or each.slow_maps]
        by_mapper = tuple((str(each.domid),) for each in mappers)
        for attribute, definition in _FLUSHES.items():
            yield _available(definition, by_mapper, list(map(attrgetter(attribute), mappers)))

    def _name(self, domain: DomainUsage) -> str:
        """Return a domain's name; XenStore has no events for those that xengt creates."""
        return domain_nodes.name(domain.domid) if domain.own else self._name_of(domain.domid) or ""


def _hypervisor_info(reader: TableReader) -> MetricFamily:
    variant = maptrack.detect(reader.version.commandline)
    label_values = (reader.version.build_id, variant, str(reader.version))
    return family(definitions.HYPERVISOR_INFO, [(label_values, 1)])


def _available(
    definition: MetricDefinition,
    label_values: tuple[tuple[str, ...], ...],
    numbers: list[int | None],
) -> MetricFamily:
    """Return the family of the figures that are not None."""
    rows = zip(label_values, numbers, strict=True)
    if None in numbers:
        return family(definition, [(values, each) for values, each in rows if each is not None])
    return columns(definition, label_values, [each for each in numbers if each is not None])
