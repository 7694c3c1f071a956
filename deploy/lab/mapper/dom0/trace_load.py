"""Runs in dom0 for `lab trace --mapper`: a mapper maps and unmaps until stdin is closed.

usage: KIND BATCH MAPPINGS; prints one line once the first operations have succeeded
"""

import sys
import time

from granters import FIRST, Granters
from mapper import HOST, Mapper
from mapper_mailbox import MAP_LOOP, TIMEOUT_S, Step

from xengt.recovery import sweep
from xengt.recovery.journal import open_journal

#: counters of the mapper that show an error
ERRORS = ("map_refused", "unmap_refused", "wrong_page")


def main(kind: str, batch: int, mappings: int) -> None:
    """Let a mapper map references of an empty domain for its CPU, read each page, and unmap them.

    Args:
        kind: of the mapper: pv or pvh.
        batch: references per hypercall.
        mappings: simultaneous mappings of each reference; the last one is mapped and unmapped.
    """
    with open_journal() as journal:
        sweep.clean_up(journal)  # a mapper of a killed load would still map
    with Granters(1, batch, batch) as granters, Mapper(kind) as mapper:
        granters.grant(mapper.domid)
        (granter,) = granters.domids()
        if mappings > 1:
            held = mapper.hold(granter, FIRST, batch, HOST, mappings - 1)
            if held != batch * (mappings - 1):
                sys.exit(f"mapper {mapper.domid} holds only {held} mappings")
        at = mapper.window(batch)
        mapper.mailbox.begin([Step(MAP_LOOP, (granter, FIRST, batch, HOST, at, 0))])
        deadline = time.monotonic() + TIMEOUT_S
        while mapper.mailbox.counters()["rounds"] < 1:
            if time.monotonic() > deadline:
                sys.exit(f"mapper {mapper.domid} has mapped nothing after {TIMEOUT_S:.0f} s")
            time.sleep(0.1)
        if any((counters := mapper.mailbox.counters())[error] for error in ERRORS):
            sys.exit(f"mapper {mapper.domid} fails: {counters}")
        print("mapping", flush=True)
        sys.stdin.read()
        mapper.mailbox.stop()
        mapper.mailbox.results()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
