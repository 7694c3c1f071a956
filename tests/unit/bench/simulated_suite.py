"""Results of a suite with fixed costs."""

from xengt.bench.engines.names import COPYING
from xengt.bench.result import Result, summarise
from xengt.bench.suite import SuitePlan
from xenlib_cffi.histogram import Histogram


def results(plan: SuitePlan, most: int | None = None) -> list[Result]:
    """Return results of the first `most` setups of a plan."""
    made = []
    for setup in plan.setups()[:most]:
        copies = setup.engine in COPYING
        names = ["copy from granter", "copy to granter"] if copies else ["map", "unmap"]
        if setup.touch != "none":
            names.insert(1, "touch")
        for name in names:
            calls = Histogram()
            calls.record((800 + (setup.bytes if copies else 1000)) * setup.batch, 100)
            case = setup.case(name)
            made.append(
                summarise(case, calls, samples=100, elapsed_s=0.1 * setup.batch, floor_ns=500)
            )
    return made
