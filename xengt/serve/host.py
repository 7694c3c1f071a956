"""What the host tells, read anew for every scrape."""

import time
from collections.abc import Iterable, Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from xengt import maptrack
from xengt.errors import XengtError
from xengt.usage import Domain, Usage, read
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import MissingLibraryError, XenLibraryError

_DOMID = ["domid"]
#: key of a domain's figures → name and meaning; there are as many series of each as domains
_GAUGES = {
    "grant_frames": ("xengt_grant_frames", "Frames of 4 KiB that the grant table has."),
    "max_grant_frames": ("xengt_grant_frames_limit", "Frames that it may have."),
    "maptrack_frames": ("xengt_maptrack_frames", "Frames of 4 KiB that the maptrack table has."),
    "max_maptrack_frames": ("xengt_maptrack_frames_limit", "Frames that it may have."),
}
_RECORDS = ("fast", "slow")


class HostCollector(Collector):
    """Every domain's tables and mappings, and which hypervisor it is.

    A domain that goes takes its series along.

    Args:
        most: domains that are shown, the lowest domids first.
    """

    def __init__(self, most: int) -> None:
        """Read nothing yet."""
        self._most = most
        self._failures = 0

    def collect(self) -> Iterator[Metric]:
        """Read, and yield what was found; what could not be read is counted, and left out."""
        began = time.perf_counter()
        try:
            with Ctrl() as xen:
                version = xen.version()
            reading = read()
        except (XengtError, XenLibraryError, MissingLibraryError):
            self._failures += 1
        else:
            yield InfoMetricFamily(
                "xengt_hypervisor",
                "The hypervisor that runs, and which maptrack it keeps.",
                value={
                    "version": str(version),
                    "build_id": version.build_id,
                    "maptrack": maptrack.running(version.commandline),
                },
            )
            yield from self._told(reading)
        failures = CounterMetricFamily(
            "xengt_host_read_failures", "Scrapes that could not read what the host tells."
        )
        failures.add_metric([], self._failures)
        yield failures
        yield _one(
            "xengt_host_read_seconds",
            "What reading it took, of this scrape.",
            time.perf_counter() - began,
        )

    def _told(self, reading: Usage) -> Iterator[Metric]:
        shown = reading.domains[: self._most]
        info = InfoMetricFamily(
            "xengt_domain", "A domain, and its name in XenStore.", labels=_DOMID
        )
        for domain in shown:
            dying = "yes" if domain.dying else "no"
            info.add_metric([str(domain.domid)], {"name": domain.name or "", "dying": dying})
        yield info
        yield _one("xengt_domains", "Domains there are.", len(reading.domains))
        yield _one(
            "xengt_domains_left_out",
            "Domains that are not shown, there being more than host.domains.",
            len(reading.domains) - len(shown),
        )
        for key, (name, meaning) in _GAUGES.items():
            yield from _gauges(name, meaning, key, shown)
        yield from _mappings(shown)
        unknown = GaugeMetricFamily(
            "xengt_unavailable",
            "Figures of domains that this Xen does not tell.",
            labels=["figure"],
        )
        for key in sorted({key for each in reading.missing for key in each.keys}):
            unknown.add_metric([key], 1)
        yield unknown


def _one(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, value=value)


def _gauges(name: str, meaning: str, key: str, domains: Iterable[Domain]) -> Iterator[Metric]:
    family = GaugeMetricFamily(name, meaning, labels=_DOMID)
    for domain in domains:
        if (value := getattr(domain, key)) is not None:
            family.add_metric([str(domain.domid)], value)
    yield family


def _mappings(domains: Iterable[Domain]) -> Iterator[Metric]:
    labels = [*_DOMID, "record"]
    live = GaugeMetricFamily(
        "xengt_mappings", "Mappings that the domain has made of others' references.", labels=labels
    )
    made = CounterMetricFamily(
        "xengt_mappings_made", "Mappings that it has ever made.", labels=labels
    )
    for domain in domains:
        for record in _RECORDS:
            words = [str(domain.domid), record]
            if (count := getattr(domain, f"{record}_live")) is not None:
                live.add_metric(words, count)
            if (count := getattr(domain, f"{record}_maps")) is not None:
                made.add_metric(words, count)
    yield live
    yield made
