"""Metrics of the host: its hypervisor, and every domain's tables and mappings."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter

from xengt.errors import XengtError
from xengt.recovery import domain_nodes
from xengt.serve.metrics import definitions
from xengt.serve.metrics.metric_families import MetricFamily, family, single
from xengt.usage import DomainUsage, Usage, read_usage
from xenlib_cffi.ctrl import Ctrl, XenVersion
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

    def families(self) -> Iterator[MetricFamily]:
        """Read Xen and yield what it reports; a failure is counted and logged."""
        began = time.perf_counter()
        try:
            with Ctrl() as xen:
                version = xen.version()
            reading = read_usage(names=False)
        except (XengtError, BindingError) as error:
            log.warning("cannot read the host state from Xen: %s", error)
            self._failures += 1
        else:
            yield _hypervisor_info(version, reading)
            yield from self._domains(reading)
        yield single(definitions.HOST_READ_FAILURES, self._failures)
        yield single(definitions.HOST_READ_SECONDS, time.perf_counter() - began)

    def _domains(self, reading: Usage) -> Iterator[MetricFamily]:
        exported = reading.domains[: self.max_domains]
        domids = [str(each.domid) for each in exported]
        yield family(
            definitions.DOMAIN_INFO,
            [
                ((domid, _YES_NO[each.dying], self._name(each), _YES_NO[each.own]), 1)
                for domid, each in zip(domids, exported, strict=True)
            ],
        )
        yield single(definitions.DOMAINS, len(reading.domains))
        yield single(definitions.DOMAINS_LEFT_OUT, len(reading.domains) - len(exported))
        label_values = [(domid,) for domid in domids]
        for attribute, definition in _TABLE_SIZES.items():
            yield family(definition, _rows(label_values, exported, attribute))
        by_record = {record: [(domid, record) for domid in domids] for record in _RECORDS}
        for ending, definition in _MAPPING_COUNTS.items():
            rows = []
            for record, both in by_record.items():
                rows += _rows(both, exported, f"{record}_{ending}")
            yield family(definition, rows)
        missing = sorted({key for each in reading.missing for key in each.keys})
        yield family(definitions.UNAVAILABLE, [((key,), 1) for key in missing])

    def _name(self, domain: DomainUsage) -> str:
        """Return a domain's name; XenStore has no events for those that xengt creates."""
        return domain_nodes.name(domain.domid) if domain.own else self._name_of(domain.domid) or ""


def _hypervisor_info(version: XenVersion, reading: Usage) -> MetricFamily:
    label_values = (version.build_id, reading.maptrack, str(version))
    return family(definitions.HYPERVISOR_INFO, [(label_values, 1)])


def _rows(
    label_values: Sequence[tuple[str, ...]], domains: Sequence[DomainUsage], attribute: str
) -> list[tuple[tuple[str, ...], int]]:
    """Return the label values and the attribute of each domain that has one."""
    found = zip(label_values, map(attrgetter(attribute), domains), strict=True)
    return [(values, number) for values, number in found if number is not None]
