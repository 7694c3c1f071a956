"""What the probe has found, for a scrape."""

from collections.abc import Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from xengt.serve.probe import Probe

_CASE = ["engine", "batch", "mappings", "path", "operation"]


class ProbeCollector(Collector):
    """A probe's histograms, and how it fares.

    As many histograms as there are cases, times two; each has the bounds of
    `buckets.BOUNDS_S`.

    Args:
        probe: whose.
    """

    def __init__(self, probe: Probe) -> None:
        """Only remember it."""
        self._probe = probe

    def collect(self) -> Iterator[Metric]:
        """Yield what is known now."""
        with self._probe.lock:
            return iter([*self._latencies(), *self._fares()])

    def _latencies(self) -> Iterator[Metric]:
        latency = HistogramMetricFamily(
            "xengt_probe_latency_seconds",
            "Of one map or unmap: the time of a call divided by its batch.",
            labels=_CASE,
        )
        floor = GaugeMetricFamily(
            "xengt_probe_floor_seconds",
            "The same of operations that are refused at once: median of the last round.",
            labels=_CASE,
        )
        for case, measured in self._probe.measured.items():
            path = self._probe.path(case)
            for operation, buckets in measured.operations.items():
                words = [case.engine, str(case.batch), str(case.mappings), path, operation]
                latency.add_metric(words, buckets.cumulative(), buckets.sum_s)
                floor.add_metric(words, measured.floors_s[operation])
        yield latency
        yield floor

    def _fares(self) -> Iterator[Metric]:
        probe = self._probe
        yield CounterMetricFamily("xengt_probe_rounds", "Rounds taken.", value=probe.rounds)
        yield CounterMetricFamily(
            "xengt_probe_rounds_skipped",
            "Rounds not taken because a benchmark was running.",
            value=probe.busy,
        )
        errors = CounterMetricFamily(
            "xengt_probe_errors",
            "Rounds that failed, by Xen's status; none: it was not Xen that refused.",
            labels=["status"],
        )
        for status, count in {"none": 0, **probe.errors}.items():
            errors.add_metric([status], count)
        yield errors
        yield CounterMetricFamily(
            "xengt_probe_cpu_seconds", "CPU time that rounds took.", value=probe.cpu_s
        )
        for name, meaning, value in (
            ("cpu_budget_ratio", "What rounds may take of one vCPU.", probe.cpu_budget),
            ("round_seconds", "What the last round took.", probe.took_s),
            (
                "last_success_timestamp_seconds",
                "When a round last ended well; 0: none has.",
                probe.last_success,
            ),
        ):
            yield GaugeMetricFamily(f"xengt_probe_{name}", meaning, value=value)
