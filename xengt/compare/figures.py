"""The compared figures of each run, by metric and case."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from enum import Enum

from xengt.bench.case import Case
from xengt.bench.result import Result
from xengt.runs.overhead import Figure, subtract_overhead
from xengt.runs.run_file import RunFile

PAIR_OPERATION = "map + unmap"
"""The operation of a case that stands for one map and one unmap."""


class Metric(Enum):
    """A compared metric, in the order of the reports. The value is its name in JSON."""

    PAIR = "net_pair_ns"
    NET = "net_p50_ns"
    P50 = "p50_ns"
    THROUGHPUT = "throughput_per_s"

    @property
    def title(self) -> str:
        """The metric in words, with its unit unless that is the clock's."""
        return {
            Metric.PAIR: "median latency of a map/unmap pair, measurement overhead excluded",
            Metric.NET: "median latency per operation, measurement overhead excluded",
            Metric.P50: "median latency per operation, measurement overhead included",
            Metric.THROUGHPUT: "throughput in operations per second",
        }[self]

    @property
    def short_title(self) -> str:
        """The metric in a few words, for a column of a table."""
        return {
            Metric.PAIR: "pair latency, overhead excluded",
            Metric.NET: "latency, overhead excluded",
            Metric.P50: "latency, overhead included",
            Metric.THROUGHPUT: "throughput",
        }[self]

    @property
    def excludes_overhead(self) -> bool:
        """Whether the measurement overhead is subtracted."""
        return self in {Metric.PAIR, Metric.NET}


FiguresByCase = dict[tuple[Metric, Case], tuple[Figure, ...]]
"""For each metric and case, one figure of each run that has the case."""


def collect_figures(runs: Sequence[RunFile]) -> FiguresByCase:
    """Collect the figures of one side.

    Args:
        runs: the runs of the side, in the order of the figures.
    """
    figures: FiguresByCase = {}
    for run in runs:
        results = {result.case: result for result in run.document.results}
        for key, figure in _figures_of_run(results):
            figures[key] = (*figures.get(key, ()), figure)
    return figures


def _figures_of_run(
    results: Mapping[Case, Result],
) -> Iterator[tuple[tuple[Metric, Case], Figure]]:
    # Only figures without the overhead need an error: the others always have a ratio.
    for case, result in results.items():
        yield (Metric.P50, case), Figure(result.latency_ns.p50, 0)
        yield (Metric.THROUGHPUT, case), Figure(result.throughput_per_s, 0)
        if (net := subtract_overhead(result)) is not None:
            yield (Metric.NET, case), net
    for case, result in results.items():
        unmap = results.get(replace(case, operation="unmap")) if case.operation == "map" else None
        net_map = subtract_overhead(result)
        net_unmap = subtract_overhead(unmap) if unmap else None
        if net_map is not None and net_unmap is not None:
            yield (Metric.PAIR, replace(case, operation=PAIR_OPERATION)), net_map + net_unmap
