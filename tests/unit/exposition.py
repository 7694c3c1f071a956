"""Samples of metric sources, as a Prometheus parses them from a page."""

from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics import exposition
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from xengt.serve.page import Page


class LibraryCollector:
    """A collector of the sources' families, to be formatted by prometheus_client alone."""

    def __init__(self, sources):
        self.sources = sources

    def collect(self):
        return [family.metric() for source in self.sources for family in source.families()]


def samples(text) -> dict:
    """Return the values of a page's samples, by name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in parse_text(text)
        for sample in family.samples
    }


def samples_of(*sources) -> dict:
    """Return the samples of sources, after checking that they are valid OpenMetrics as well."""
    found = samples(Page(sources).text().decode())
    registry = CollectorRegistry(auto_describe=False)
    registry.register(LibraryCollector(sources))
    list(parse_openmetrics(exposition.generate_latest(registry).decode()))  # raises if invalid
    return found
