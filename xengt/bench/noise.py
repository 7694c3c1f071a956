"""How much the medians of equal measurements differ on this host, before anything is compared."""

from collections.abc import Callable
from statistics import median

from xengt.bench.plan import BenchPlan, with_defaults
from xengt.bench.run import Progress, run_plan
from xengt.recovery.journal import Journal

RUNS = 5
SAMPLES = 2_000
QUIET = 0.05
"""The largest relative spread of the medians on a quiet host."""


def measure_noise(
    engine: str, granter: str, journal: Journal, show: Callable[[Progress], None]
) -> float:
    """Measure one setup several times, and return the relative spread of its medians.

    Args:
        engine: the name of the engine.
        granter: the value of `--granter`.
        journal: locked, and without records of an earlier run.
        show: called with the progress of each measurement.

    Returns:
        The largest minus the smallest median latency, divided by their median; of the operation
        with the largest spread.

    Raises:
        XengtError: as `run_plan`.
    """
    values = with_defaults({"engine": [engine], "granter": [granter], "batch": [32]})
    plan = BenchPlan(values, SAMPLES, None, 3)
    medians: dict[str, list[float]] = {}
    for _ in range(RUNS):
        for results in list(run_plan(plan, journal, show)):
            for result in results:
                medians.setdefault(result.case.operation, []).append(result.latency_ns.p50)
    return max(relative_spread(values) for values in medians.values())


def relative_spread(values: list[float]) -> float:
    """Return the range of values divided by their median.

    Args:
        values: positive values, at least one.
    """
    return (max(values) - min(values)) / median(values)
