"""Lets a mapper hold two mappings per reference, and destroys it on request.

usage: PYTHONPATH=/root/mapper hold_and_destroy.py MAPPINGS GRANTERS. Prints a JSON line with the
number and the memory of the mappings, waits for a line on standard input, destroys the mapper, and
prints a JSON line with the duration.
"""

import json
import sys
import time

from granters import FIRST, Granters
from hypfs_counters import read_counters
from mapper import DEVICE, Mapper

from xenlib_cffi.ctrl import Ctrl


def free_pages(ctrl: Ctrl) -> int:
    """Return the number of free pages, including those that Xen has yet to scrub."""
    info = ctrl.physinfo()
    return info.free_pages + info.scrub_pages


def hold(ctrl: Ctrl, mapper: Mapper, granters: Granters, grefs: int) -> dict:
    """Map every reference twice; returns the number of mappings and the memory they use."""
    before = free_pages(ctrl)
    mappings = sum(mapper.hold(g.domid, FIRST, grefs, DEVICE, 2) for g in granters)
    pages = before - free_pages(ctrl)
    return {"held": mappings, "pages": pages, "usage": read_counters(mapper.domid)}


def main(mappings: int, count: int) -> None:
    grefs = mappings // 2 // count
    with Ctrl() as ctrl, Granters(count, max(grefs, 1)) as granters, Mapper() as mapper:
        granters.grant(mapper.domid)
        print(json.dumps(hold(ctrl, mapper, granters, grefs) if grefs else {}), flush=True)
        sys.stdin.readline()
        mapper.unmap_mailbox()
        domid, mapper.domid = mapper.domid, 0
        began = time.monotonic_ns()
        ctrl.destroy(domid)
        took = time.monotonic_ns() - began
        print(json.dumps({"ns": took}), flush=True)
        while any(domain.domid == domid for domain in ctrl.domains()):
            time.sleep(0.01)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
