"""Run in dom0 by `lab trace`: map and unmap the same references until standard input ends.

usage: BATCH GRANTER MAPPINGS; prints a line once operations succeed
"""

import select
import sys

from xengt.bench import run
from xengt.bench.plan import REFERENCES, BenchPlan
from xengt.recovery import journal, sweep

#: calls, more than anybody waits for
ENDLESS = 10**9


def main(batch: int, granter: str, mappings: int) -> None:
    """Run the benchmark's own loop.

    Args:
        batch: references a call.
        granter: as `xengt bench --granter`.
        mappings: of each reference at once; the last one is made and unmade.
    """
    said = False

    def show(progress: run.Progress) -> None:
        nonlocal said
        if select.select([sys.stdin], [], [], 0)[0]:
            raise SystemExit  # which ends the loop after its round, and leaves nothing mapped
        if progress.done and not said:  # of refused operations, which come first, none is done
            said = True
            print("mapping", flush=True)

    plan = BenchPlan(
        engine=["hypercall"],
        granter=[granter],
        granters=[1],
        references=[max(REFERENCES, batch)],
        batch=[batch],
        threads=[1],
        mappings=[mappings],
        readonly=[False],
        hold=[0],
        rate=[None],
        samples=ENDLESS,
        duration_s=None,
        digits=2,
    )
    with journal.open_journal() as book:
        sweep.clean_up(book)
        for _ in run.run_plan(plan, book, show):
            pass


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
