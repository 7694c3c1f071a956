"""A metric in two parts: its series, which seldom change, and its numbers, which always do."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from xengt.serve.metrics import native_histogram
from xengt.serve.metrics.buckets import Buckets

#: the labels of a series, and its number
Row = tuple[Sequence[str], float]


@dataclass(frozen=True)
class MetricFamily:
    """A metric as it is now.

    Attributes:
        name: as prometheus_client has it, without `_total`.
        shape: of its series; two of one name and shape differ in their numbers only.
        numbers: one for each line that prometheus_client writes, in its order.
        metric: makes what prometheus_client writes.
        native: makes the same with native histograms; None where there are none.
    """

    name: str
    shape: Hashable
    numbers: Sequence[float]
    metric: Callable[[], Metric]
    native: Callable[[], Metric] | None = None


class Latencies(Protocol):
    """How many took at most so long."""

    @property
    def sum_s(self) -> float:
        """Seconds of all of them."""

    def below(self) -> Sequence[int]:
        """Return how many took at most so long, for each bound and then for none."""

    def cumulative(self) -> Sequence[tuple[str, float]]:
        """Return the same beside each bound, as prometheus_client takes them."""


class MetricSource(Protocol):
    """What has something to tell at a scrape."""

    def families(self) -> Iterable[MetricFamily]:
        """Yield all of it, as it is now."""


def gauge(name: str, meaning: str, labels: Sequence[str], rows: Sequence[Row]) -> MetricFamily:
    """Tell what goes up and down.

    Args:
        name: ends in its unit, if it has one.
        meaning: one sentence.
        labels: their names.
        rows: a series each.
    """
    return _simple(GaugeMetricFamily, name, meaning, labels, rows)


def counter(name: str, meaning: str, labels: Sequence[str], rows: Sequence[Row]) -> MetricFamily:
    """Tell what only grows; the arguments are those of `gauge`, the name without `_total`."""
    return _simple(CounterMetricFamily, name, meaning, labels, rows)


def one(name: str, meaning: str, number: float) -> MetricFamily:
    """Tell a gauge of one series."""
    return gauge(name, meaning, (), (((), number),))


def _simple(
    kind: type[GaugeMetricFamily | CounterMetricFamily],
    name: str,
    meaning: str,
    labels: Sequence[str],
    rows: Sequence[Row],
) -> MetricFamily:
    def metric() -> Metric:
        made = kind(name, meaning, labels=labels)
        for words, number in rows:
            made.add_metric(words, number)
        return made

    shape = tuple(tuple(words) for words, _ in rows)
    return MetricFamily(name, shape, [number for _, number in rows], metric)


def histogram(
    name: str, meaning: str, labels: Sequence[str], rows: Sequence[tuple[Sequence[str], Latencies]]
) -> MetricFamily:
    """Tell latencies, in seconds, as classic histograms, and as native ones where they can be.

    Args:
        name: ends in `_seconds`.
        meaning: one sentence.
        labels: their names.
        rows: labels and latencies.
    """

    def metric() -> Metric:
        made = HistogramMetricFamily(name, meaning, labels=labels)
        for words, buckets in rows:
            made.add_metric(words, buckets.cumulative(), buckets.sum_s)
        return made

    def with_native() -> Metric:
        made = metric()
        for words, buckets in rows:
            if isinstance(buckets, Buckets):
                native_histogram.add(made, dict(zip(labels, words, strict=True)), buckets)
        return made

    numbers: list[float] = []
    for _, buckets in rows:
        below = buckets.below()
        numbers += [*below, below[-1], buckets.sum_s]
    shape = tuple(tuple(words) for words, _ in rows)
    return MetricFamily(name, shape, numbers, metric, with_native)
