"""Runs in dom0 for `lab trace`: maps and unmaps the same references until stdin is closed.

usage: BATCH GRANTER MAPPINGS ENGINE; prints one line once the first operation has succeeded
"""

import select
import sys
from collections.abc import Sequence
from typing import Any

from xengt.bench import run
from xengt.bench.plan import BenchPlan, with_defaults
from xengt.recovery import journal as journals
from xengt.recovery import sweep

#: calls per case: more than any trace records
UNLIMITED = 10**9


def main(batch: int, granter: str, mappings: int, engine: str) -> None:
    """Run the loop of `xengt bench`.

    Args:
        batch: references per call.
        granter: see `xengt bench --granter`.
        mappings: simultaneous mappings of each reference; the last one is mapped and unmapped.
        engine: see `xengt bench --engine`.
    """
    reported = False

    def report(progress: run.Progress) -> None:
        nonlocal reported
        if select.select([sys.stdin], [], [], 0)[0]:
            raise SystemExit  # the loop ends after its current round and unmaps everything
        # Rejected operations come first and do not count as done.
        if progress.done and not reported:
            reported = True
            print("mapping", flush=True)

    values: dict[str, Sequence[Any]] = {
        "granter": [granter],
        "engine": [engine],
        "batch": [batch],
        "mappings": [mappings],
    }
    plan = BenchPlan(with_defaults(values), samples=UNLIMITED, duration_s=None, digits=2)
    with journals.open_journal() as journal:
        sweep.clean_up(journal)
        for _ in run.run_plan(plan, journal, report):
            pass


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4])
