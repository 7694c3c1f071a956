"""Occupies entries of dom0's maptrack until SIGTERM.

argument: number of entries. Prints `full` once they are in use. The pages of an empty domain are
mapped as often as a pin counter permits. On the patched hypervisor the first two mappings of a
reference occupy no maptrack entry.
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
