"""What sources tell, as a Prometheus reads it."""

from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics import exposition
from prometheus_client.openmetrics.parser import text_string_to_metric_families as strictly
from prometheus_client.parser import text_string_to_metric_families as parsed

from xengt.serve.page import Page


class Library:
    """The same as prometheus_client tells it, with no help of ours."""

    def __init__(self, sources):
        self.sources = sources

    def collect(self):
        return [family.metric() for source in self.sources for family in source.families()]


def numbers(text) -> dict:
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in parsed(text)
        for sample in family.samples
    }


def collected(*sources) -> dict:
    """What they tell, by name and labels; it has to be good OpenMetrics as well."""
    found = numbers(Page(sources).text().decode())
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Library(sources))
    list(strictly(exposition.generate_latest(registry).decode()))  # raises where it is not
    return found
