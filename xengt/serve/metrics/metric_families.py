"""The series of a metric at one scrape: label values, which seldom change, and numbers.

`page` renders them. It needs the label values and the numbers apart, because it has
prometheus_client format a family only when the label values have changed.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from xengt.serve.buckets import Buckets
from xengt.serve.metrics import native_histogram
from xengt.serve.metrics.metric_definition import MetricDefinition

_ValueT = TypeVar("_ValueT")
#: the label values of a series, and its number
Row = tuple[Sequence[str], float]


@dataclass(frozen=True)
class MetricFamily:
    """All series of one metric at one scrape.

    Attributes:
        name: of the metric.
        label_values: of all series; two families of one name with the same label values differ
            in their numbers only.
        numbers: one for each sample line that prometheus_client writes, in its order.
        metric: returns the family as an object of prometheus_client.
        native: returns the same with native histograms; None if the metric is not a histogram.
    """

    name: str
    label_values: Hashable
    numbers: Sequence[float]
    metric: Callable[[], Metric]
    native: Callable[[], Metric] | None = None


class LatencyHistogram(Protocol):
    """A histogram with fixed bucket bounds."""

    @property
    def sum_s(self) -> float:
        """The sum of all observations in seconds."""

    def cumulative_counts(self) -> Sequence[int]:
        """Return how many observations each bound includes, ending with +Inf."""

    def cumulative_buckets(self) -> Sequence[tuple[str, float]]:
        """Return (bound, cumulative count) pairs, as prometheus_client takes them."""


class MetricSource(Protocol):
    """An object that provides metric families for every scrape."""

    def families(self) -> Iterable[MetricFamily]:
        """Yield the current families."""


def family(definition: MetricDefinition, rows: Sequence[Row]) -> MetricFamily:
    """Return the family of a gauge or a counter.

    Args:
        definition: of the metric.
        rows: one for each series.
    """
    label_values = tuple(tuple(each) for each, _ in rows)
    return columns(definition, label_values, [number for _, number in rows])


def columns(
    definition: MetricDefinition,
    label_values: tuple[tuple[str, ...], ...],
    numbers: Sequence[float],
) -> MetricFamily:
    """Return the family of a gauge or a counter, from the columns of its rows.

    Args:
        definition: of the metric.
        label_values: of each series; several families can share them.
        numbers: of each series.
    """
    kind = CounterMetricFamily if definition.type == "counter" else GaugeMetricFamily

    def metric() -> Metric:
        made = kind(definition.name, definition.help, labels=definition.label_names)
        for values, number in zip(label_values, numbers, strict=True):
            made.add_metric(values, number)
        return made

    return MetricFamily(definition.name, label_values, numbers, metric)


def single(definition: MetricDefinition, number: float) -> MetricFamily:
    """Return the family of a gauge or a counter without labels."""
    return family(definition, (((), number),))


def histogram(
    definition: MetricDefinition,
    rows: Sequence[tuple[Sequence[str], LatencyHistogram]],
    places: Sequence[int] | None = None,
) -> MetricFamily:
    """Return the family of a histogram; its native form has native histograms of `Buckets`.

    Args:
        definition: of the metric.
        rows: label values and observations of each series.
        places: of the bounds to show, in the cumulative counts, ending with that of +Inf; None for
            all. Native histograms do not depend on it.
    """
    names = definition.label_names

    def shown(values: Sequence[_ValueT]) -> Sequence[_ValueT]:
        return values if places is None else [values[place] for place in places]

    def metric() -> Metric:
        made = HistogramMetricFamily(definition.name, definition.help, labels=names)
        for label_values, observed in rows:
            made.add_metric(label_values, shown(observed.cumulative_buckets()), observed.sum_s)
        return made

    def with_native() -> Metric:
        made = metric()
        for label_values, observed in rows:
            if isinstance(observed, Buckets):
                native_histogram.add(made, dict(zip(names, label_values, strict=True)), observed)
        return made

    numbers: list[float] = []
    for _, observed in rows:
        counts = shown(observed.cumulative_counts())
        numbers += [*counts, counts[-1], observed.sum_s]
    label_values = tuple(tuple(each) for each, _ in rows)
    return MetricFamily(definition.name, label_values, numbers, metric, with_native)
