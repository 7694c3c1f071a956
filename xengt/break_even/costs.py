"""What it costs to have the bytes of a page: by mapping, or by copying in one direction."""

from collections.abc import Sequence

from xengt.bench.case import Setup
from xengt.bench.engines.names import COPYING
from xengt.bench.result import Result
from xengt.runs.overhead import subtract_overhead

USE = "use"
"""Stands for all operations of a mapping: the map, the touch and the unmap."""


def costs_of(results: Sequence[Result]) -> dict[tuple[Setup, str], float]:
    """Return costs in ns per operation, measurement overhead excluded.

    Args:
        results: the results of a run.

    Returns:
        For each setup that maps, the sum of its operations, under `USE`. For each setup that
        copies, the cost of each direction. Setups without an overhead are left out.
    """
    costs: dict[tuple[Setup, str], float] = {}
    for result in results:
        net = subtract_overhead(result)
        if net is None:
            continue
        case = result.case
        key = (case.setup, case.operation if case.engine in COPYING else USE)
        costs[key] = costs.get(key, 0.0) + net.value
    return costs
