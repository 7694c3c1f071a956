"""What the host tells, read anew for every scrape."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter

from xengt.errors import XengtError
from xengt.serve.metrics.metric_families import MetricFamily, counter, gauge, one
from xengt.usage import DomainUsage, Usage, read_usage
from xenlib_cffi.ctrl import Ctrl, XenVersion
from xenlib_cffi.errors import BindingError

log = logging.getLogger(__name__)

#: key of a domain's figures → name and meaning; there are as many series of each as domains
_GAUGES = {
    "grant_frames": ("xengt_grant_frames", "Frames of 4 KiB that the grant table has."),
    "max_grant_frames": ("xengt_grant_frames_limit", "Frames that it may have."),
    "maptrack_frames": ("xengt_maptrack_frames", "Frames of 4 KiB that the maptrack table has."),
    "max_maptrack_frames": ("xengt_maptrack_frames_limit", "Frames that it may have."),
}
_RECORDS = ("fast", "slow")
_MAPPINGS = (
    (gauge, "xengt_mappings", "live", "Mappings that the domain has made of others' references."),
    (counter, "xengt_mappings_made", "maps", "Mappings that it has ever made."),
)
_MISSING = "xengt_unavailable"


class HostMetrics:
    """Every domain's tables and mappings, and which hypervisor it is.

    A domain that goes takes its series along.

    Args:
        most: domains that are shown, the lowest domids first.
        name: of a domain, by domid, where it has one.
    """

    def __init__(self, most: int, name: Callable[[int], str | None]) -> None:
        """Read nothing yet."""
        self._most = most
        self._name = name
        self._failures = 0

    def families(self) -> Iterator[MetricFamily]:
        """Read, and yield what was found; what could not be read is counted, and left out."""
        began = time.perf_counter()
        try:
            with Ctrl() as xen:
                version = xen.version()
            reading = read_usage(names=False)
        except (XengtError, BindingError) as error:
            log.warning("the host cannot be read: %s", error)
            self._failures += 1
        else:
            yield _hypervisor(version, reading)
            yield from self._told(reading)
        yield counter(
            "xengt_host_read_failures",
            "Scrapes that could not read what the host tells.",
            (),
            [((), self._failures)],
        )
        took = time.perf_counter() - began
        yield one("xengt_host_read_seconds", "What reading it took, of this scrape.", took)

    def _told(self, reading: Usage) -> Iterator[MetricFamily]:
        shown = reading.domains[: self._most]
        domids = [str(each.domid) for each in shown]
        yield gauge(
            "xengt_domain_info",
            "A domain, and its name in XenStore.",
            ("domid", "dying", "name"),
            [
                ((domid, "yes" if each.dying else "no", self._name(each.domid) or ""), 1)
                for domid, each in zip(domids, shown, strict=True)
            ],
        )
        yield one("xengt_domains", "Domains there are.", len(reading.domains))
        yield one(
            "xengt_domains_left_out",
            "Domains that are not shown, there being more than host.domains.",
            len(reading.domains) - len(shown),
        )
        words = [(domid,) for domid in domids]
        for key, (name, meaning) in _GAUGES.items():
            yield gauge(name, meaning, ("domid",), _numbers(words, shown, key))
        recorded = {record: [(domid, record) for domid in domids] for record in _RECORDS}
        for kind, name, key, meaning in _MAPPINGS:
            rows = []
            for record, both in recorded.items():
                rows += _numbers(both, shown, f"{record}_{key}")
            yield kind(name, meaning, ("domid", "record"), rows)
        missing = sorted({key for each in reading.missing for key in each.keys})
        meaning = "Figures of domains that this Xen does not tell."
        yield gauge(_MISSING, meaning, ("figure",), [((key,), 1) for key in missing])


def _hypervisor(version: XenVersion, reading: Usage) -> MetricFamily:
    words = (version.build_id, reading.maptrack, str(version))
    return gauge(
        "xengt_hypervisor_info",
        "The hypervisor that runs, and which maptrack it keeps.",
        ("build_id", "maptrack", "version"),
        [(words, 1)],
    )


def _numbers(
    words: Sequence[tuple[str, ...]], domains: Sequence[DomainUsage], key: str
) -> list[tuple[tuple[str, ...], int]]:
    """Put a figure of domains beside the labels of each, where it is known."""
    found = zip(words, map(attrgetter(key), domains), strict=True)
    return [(labels, number) for labels, number in found if number is not None]
