"""The form of a metric's definition."""

from dataclasses import dataclass
from typing import Literal

MetricType = Literal["gauge", "counter", "histogram"]


@dataclass(frozen=True)
class Label:
    """A label of a metric.

    Args:
        name: as in a query.
        meaning: what its values are.
    """

    name: str
    meaning: str


@dataclass(frozen=True)
class MetricDefinition:
    """A metric, without its series.

    Args:
        name: as on the page; the name of a counter ends in `_total`.
        type: of Prometheus.
        unit: of its values.
        help: the HELP text, which can be read without the name.
        labels: in the order in which rows give their values.
    """

    name: str
    type: MetricType
    unit: str
    help: str
    labels: tuple[Label, ...] = ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """Return the names of the labels."""
        return tuple(label.name for label in self.labels)


@dataclass(frozen=True)
class MetricGroup:
    """The metrics of one source.

    Args:
        title: a heading of the reference.
        presence: when a page has them, in one or two sentences.
        metrics: in the order in which they are on a page.
    """

    title: str
    presence: str
    metrics: tuple[MetricDefinition, ...]
