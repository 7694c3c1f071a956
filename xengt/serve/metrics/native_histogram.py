"""Native histograms, for a Prometheus that asks for OpenMetrics 2 of a library that writes it.

The newest prometheus_client does, and calls it experimental; Debian 13's does not, and then
there is nothing of it. It stands beside the histogram of fixed bounds, under the same name.
"""

from collections.abc import Mapping, Sequence

from prometheus_client.core import Metric
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import Collector

from xengt.serve.metrics.buckets import SCHEMA, Buckets

try:
    from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST_2_0
    from prometheus_client.samples import BucketSpan, NativeHistogram
except ImportError:
    CAN = False
else:
    CAN = True

VERSION = "2.0.0"


def asked_for(accept: str) -> bool:
    """Whether who scrapes takes native histograms, and they can be had.

    Args:
        accept: the header of the request.
    """
    words = accept.split(",", maxsplit=1)[0].replace(" ", "").split(";")
    return CAN and words[0] == "application/openmetrics-text" and f"version={VERSION}" in words


def content_type() -> str:
    """Return what the page then is."""
    return str(CONTENT_TYPE_LATEST_2_0)


def write(collector: Collector) -> bytes:
    """Return what a collector collects, as OpenMetrics 2."""
    return bytes(generate_latest(collector, version=VERSION))  # type: ignore[no-untyped-call]


def add(metric: Metric, labels: Mapping[str, str], buckets: Buckets) -> None:
    """Add a native histogram to a metric.

    Args:
        metric: a histogram of the library's.
        labels: of the series.
        buckets: its latencies.
    """
    spans, deltas = _coded(buckets.native)
    metric.add_sample(
        metric.name,
        dict(labels),
        0.0,
        native_histogram=NativeHistogram(
            count_value=sum(buckets.native.values()),
            sum_value=buckets.sum_s,
            schema=SCHEMA,
            zero_threshold=0.0,
            zero_count=0,
            pos_spans=[BucketSpan(*span) for span in spans],
            pos_deltas=deltas,
        ),
    )


def _coded(counts: Mapping[int, int]) -> tuple[Sequence[tuple[int, int]], Sequence[int]]:
    """Return runs of buckets, (gap before, length), and each count less the one before."""
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
