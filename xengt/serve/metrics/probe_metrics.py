"""Metrics of the probe: latencies of its operations, and how its rounds went."""

from collections.abc import Iterable, Iterator

from xengt.serve.buckets import LEAN_PLACES
from xengt.serve.metrics import definitions
from xengt.serve.metrics.metric_families import MetricFamily, family, histogram, single
from xengt.serve.probe import Probe


class ProbeMetrics:
    """Source of the probe's metrics.

    There are two histograms for each case, one for each operation of its engine. All have the
    bounds of `buckets.BOUNDS_S`, of which the lean profile shows a few, and the medians instead.

    Args:
        probe: the probe to report on.
        lean: whether the profile is lean.
    """

    def __init__(self, probe: Probe, *, lean: bool = False) -> None:
        """Read nothing yet."""
        self._lean = lean
        self._probe = probe

    def families(self) -> Iterable[MetricFamily]:
        """Return the current families."""
        with self._probe.lock:
            return [*self._latencies(), *self._rounds()]

    def _latencies(self) -> Iterator[MetricFamily]:
        rows = [
            (
                (case.engine, str(case.batch), str(case.mappings), path, operation),
                buckets,
                latencies.medians_s[operation],
                latencies.overheads_s[operation],
            )
            for case, latencies in self._probe.latencies.items()
            for path in [self._probe.path(case)]
            for operation, buckets in latencies.buckets.items()
        ]
        yield histogram(
            definitions.PROBE_LATENCY_SECONDS,
            [(label_values, buckets) for label_values, buckets, *_ in rows],
            LEAN_PLACES if self._lean else None,
        )
        if self._lean:
            yield family(
                definitions.PROBE_MEDIAN_SECONDS,
                [(label_values, median_s) for label_values, _, median_s, _ in rows if median_s],
            )
        yield family(
            definitions.PROBE_FLOOR_SECONDS,
            [(label_values, overhead_s) for label_values, *_, overhead_s in rows],
        )

    def _rounds(self) -> Iterator[MetricFamily]:
        probe = self._probe
        yield family(
            definitions.PROBE_UP,
            [((engine,), int(usable)) for engine, usable in probe.engines.items()],
        )
        yield family(
            definitions.PROBE_ERRORS,
            [((status,), count) for status, count in {"none": 0, **probe.errors}.items()],
        )
        yield single(definitions.PROBE_ROUNDS, probe.rounds)
        yield single(definitions.PROBE_ROUNDS_SKIPPED, probe.rounds_skipped)
        yield single(definitions.PROBE_CPU_SECONDS, probe.cpu_s)
        yield single(definitions.PROBE_CPU_BUDGET_RATIO, probe.cpu_budget)
        yield single(definitions.PROBE_ROUND_SECONDS, probe.round_s)
        yield single(definitions.PROBE_LAST_SUCCESS, probe.last_success)
