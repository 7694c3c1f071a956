"""What the probe has found, for a scrape."""

from collections.abc import Iterable, Iterator

from xengt.serve.metrics.metric_families import MetricFamily, counter, gauge, histogram, one
from xengt.serve.probe import Probe

_CASE = ("engine", "batch", "mappings", "path", "operation")


class ProbeMetrics:
    """A probe's histograms, and how it fares.

    As many histograms as there are cases, times two; each has the bounds of
    `buckets.BOUNDS_S`.

    Args:
        probe: whose.
    """

    def __init__(self, probe: Probe) -> None:
        """Only remember it."""
        self._probe = probe

    def families(self) -> Iterable[MetricFamily]:
        """Yield what is known now."""
        with self._probe.lock:
            return [*self._latencies(), *self._fares()]

    def _latencies(self) -> Iterator[MetricFamily]:
        found = [
            (
                (case.engine, str(case.batch), str(case.mappings), path, operation),
                buckets,
                measured.floors_s[operation],
            )
            for case, measured in self._probe.measured.items()
            for path in [self._probe.path(case)]
            for operation, buckets in measured.operations.items()
        ]
        yield histogram(
            "xengt_probe_latency_seconds",
            "Of one map or unmap: the time of a call divided by its batch.",
            _CASE,
            [(words, buckets) for words, buckets, _ in found],
        )
        yield gauge(
            "xengt_probe_floor_seconds",
            "The same of operations that are refused at once: median of the last round.",
            _CASE,
            [(words, floor_s) for words, _, floor_s in found],
        )

    def _fares(self) -> Iterator[MetricFamily]:
        probe = self._probe
        yield gauge(
            "xengt_probe_up",
            "Whether this engine is probed; 0: this dom0 cannot, the log says why.",
            ("engine",),
            [((name,), int(up)) for name, up in probe.engines.items()],
        )
        yield counter(
            "xengt_probe_errors",
            "Rounds that failed, by Xen's status; none: it was not Xen that refused.",
            ("status",),
            [((status,), count) for status, count in {"none": 0, **probe.errors}.items()],
        )
        for name, meaning, number in (
            ("rounds", "Rounds taken.", probe.rounds),
            ("rounds_skipped", "Rounds not taken because a benchmark was running.", probe.busy),
            ("cpu_seconds", "CPU time that rounds took.", probe.cpu_s),
        ):
            yield counter(f"xengt_probe_{name}", meaning, (), (((), number),))
        for name, meaning, number in (
            ("cpu_budget_ratio", "What rounds may take of one vCPU.", probe.cpu_budget),
            ("round_seconds", "What the last round took.", probe.took_s),
            (
                "last_success_timestamp_seconds",
                "When a round last ended well; 0: none has.",
                probe.last_success,
            ),
        ):
            yield one(f"xengt_probe_{name}", meaning, number)
