"""Has dom0 hold so many entries of its maptrack, until it is told to end (SIGTERM).

argument: how many. Says `full` when it has them. A domain of ours is mapped for it, each page as
often as a pin counts: the first two of a reference have no entry on the patched hypervisor.
"""

import signal
import sys

from xengt.bench.granters.empty_domains import EmptyDomains
from xenlib_cffi.call import Call

TIMES, FAST = 127, 2


def main(entries: int) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with EmptyDomains(1) as granter, Call() as call:
        references = granter.references(-(-entries // (TIMES - FAST)))
        held = []
        try:
            for _ in range(TIMES):
                held += call.map_device([(domid, gref) for domid, gref, *_ in references])
            print("full", flush=True)
            signal.pause()
        finally:
            call.unmap_device(held)


if __name__ == "__main__":
    main(int(sys.argv[1]))
