"""Native histograms, written for a Prometheus that accepts OpenMetrics 2.

Only the newest prometheus_client can write them, and calls them experimental; Debian 13's
cannot, and the page then has none. A native histogram accompanies the one with fixed bounds
under the same name.
"""

from collections.abc import Mapping, Sequence

from prometheus_client.core import Metric
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import Collector

from xengt.serve.buckets import SCHEMA, Buckets

try:
    from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST_2_0
    from prometheus_client.samples import BucketSpan, NativeHistogram
except ImportError:
    SUPPORTED = False
else:
    SUPPORTED = True

VERSION = "2.0.0"


def is_requested(accept: str) -> bool:
    """Return whether the client prefers OpenMetrics 2 and the library can write it.

    Args:
        accept: the Accept header of the request.
    """
    kind, *parameters = accept.split(",", maxsplit=1)[0].replace(" ", "").split(";")
    preferred = kind == "application/openmetrics-text" and f"version={VERSION}" in parameters
    return SUPPORTED and preferred


def content_type() -> str:
    """Return the content type of OpenMetrics 2."""
    return str(CONTENT_TYPE_LATEST_2_0)


def render(collector: Collector) -> bytes:
    """Return a collector's metrics as OpenMetrics 2."""
    return bytes(generate_latest(collector, version=VERSION))  # type: ignore[no-untyped-call]


def add(metric: Metric, labels: Mapping[str, str], buckets: Buckets) -> None:
    """Add a native histogram to a metric.

    Args:
        metric: a histogram of prometheus_client.
        labels: of the series.
        buckets: its observations.
    """
    spans, deltas = _encode(buckets.native_counts)
    metric.add_sample(
        metric.name,
        dict(labels),
        0.0,
        native_histogram=NativeHistogram(
            count_value=sum(buckets.native_counts.values()),
            sum_value=buckets.sum_s,
            schema=SCHEMA,
            zero_threshold=0.0,
            zero_count=0,
            pos_spans=[BucketSpan(*span) for span in spans],
            pos_deltas=deltas,
        ),
    )


def _encode(counts: Mapping[int, int]) -> tuple[Sequence[tuple[int, int]], Sequence[int]]:
    """Return spans of buckets, (gap before, length), and each count minus the one before."""
    spans: list[tuple[int, int]] = []
    deltas: list[int] = []
    end = before = 0
    for index in sorted(counts):
        if spans and index == end:
            spans[-1] = (spans[-1][0], spans[-1][1] + 1)
        else:
            spans.append((index - end, 1))
        deltas.append(counts[index] - before)
        end, before = index + 1, counts[index]
    return spans, deltas
