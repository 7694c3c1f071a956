"""Destroys mappers with live mappings, and reports leaks and the duration.

arguments: cases, each KIND:MAPPINGS:GRANTERS:ORDER. KIND is the kind of mapper: `plain` (device
maps), `pv` or `pvh` (host maps); the suffix `-loop` makes it map and unmap continuously. ORDER is
`mapper-first` or `granters-first`. Prints a JSON line for each case.
"""

import json
import sys
import time

from active_entries import active_entries
from granters import FIRST, Granters
from hypfs_counters import read_counters
from mapper import DEVICE, HOST, Mapper
from mapper_mailbox import MAP_LOOP, Step
from patience import patient

from xenlib_cffi.ctrl import Ctrl

FAST = 1 << 31
#: variation of the memory that Xen itself uses, in pages
SLACK = 16


def free_pages(ctrl: Ctrl) -> int:
    """Return the number of free pages, including those that Xen has yet to scrub."""
    info = ctrl.physinfo()
    return info.free_pages + info.scrub_pages


def lost_pages(ctrl: Ctrl, before: int) -> int:
    """Return how many pages are not freed; waits, as Xen frees pages asynchronously."""
    deadline = time.monotonic() + patient(300)
    while before - free_pages(ctrl) > SLACK and time.monotonic() < deadline:
        time.sleep(0.05)
    return max(0, before - free_pages(ctrl) - SLACK)


def keep_busy(mapper: Mapper, granters: Granters, flags: int) -> int:
    """Let the mapper map and unmap until it is destroyed."""
    at = mapper.window(8) if flags & HOST else 0
    domid = granters.all[0].domid
    mapper.mailbox.begin([Step(MAP_LOOP, (domid, FIRST, 8, flags, at, 0))])
    deadline = time.monotonic() + patient(120)
    while mapper.mailbox.counters()["unmapped"] < 100:
        assert time.monotonic() < deadline, mapper.mailbox.counters()
        time.sleep(0.01)
    return 0


def destroy_while_mapped(kind: str, mappings: int, count: int, order: str) -> dict:
    kind, _, loop = kind.partition("-")
    flags = DEVICE if kind == "plain" else HOST
    grefs = mappings // 2 // count
    with Ctrl() as ctrl:
        before = free_pages(ctrl)
        with Granters(count, grefs) as granters, Mapper(kind) as mapper:
            domid = mapper.domid
            granters.grant(domid)
            if loop:
                report = {"held": keep_busy(mapper, granters, flags)}
            else:
                report = {
                    "held": sum(mapper.hold(g.domid, FIRST, grefs, flags, 2) for g in granters),
                    "marked": granters.marks(),
                    "usage": read_counters(domid),
                }
            if order == "granters-first":
                for granter in granters:
                    ctrl.destroy(granter.domid)
            report["seconds"] = mapper.destroy()
            report["marks_left"] = granters.marks()
            report["pins_left"] = active_entries(ctrl, granters.domids())
            with Mapper(domid=domid) as heir:
                report["same_domid"] = heir.domid == domid
                report["usage_inherited"] = read_counters(domid)
                report["inherited"] = [
                    *(heir.sweep(FAST | g.domid << 16 | FIRST, grefs) for g in granters),
                    heir.sweep(0, min(mappings, 4096)),
                ]
                report["refusal"] = heir.mailbox.counters()["unmap_status"]
        report["usage_left"] = read_counters(domid)
        report["pages_lost"] = lost_pages(ctrl, before)
    return report


if __name__ == "__main__":
    for case in sys.argv[1:]:
        kind, mappings, count, order = case.split(":")
        print(json.dumps(destroy_while_mapped(kind, int(mappings), int(count), order)), flush=True)
