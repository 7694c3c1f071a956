"""A guest alternates between grant table versions 1 and 2 while others map its references.

argument: duration in seconds. Prints a JSON line. The granter also runs the mapper kernel. It
grants its references 4 to 15 in turn to dom0 and to a second mapper, which map and unmap them
continuously.
"""

import contextlib
import json
import struct
import sys
import time

from active_entries import active_entries
from granters import READING, WRITING, stamp
from hypfs_counters import read_counters
from mapper import DEVICE, HOST, Mapper
from mapper_mailbox import GRANT_FRAMES, MAP_LOOP, PAGE, READ, VERSION_LOOP, Step

from xenlib_cffi.call import Call
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import GrantError

TABLE = 0x5000_0000
FIRST, COUNT = 4, 12
GREFS = range(FIRST, FIRST + COUNT)
#: offsets in the mailbox's data area: of the granted pages, and of the list of their frames
PAGES, LIST = 8 * PAGE, 0


def grant_pages(granter: Mapper) -> None:
    """Stamp the pages, and write the list of their frames into the mailbox."""
    box = granter.mailbox
    first = (box.data + PAGES - box.address) // PAGE
    for index, gref in enumerate(GREFS):
        box.put(PAGES + index * PAGE, struct.pack("<Q", stamp(granter.domid, gref)))
    frames = box.frames[first : first + COUNT]
    box.put(LIST, struct.pack(f"<{COUNT}Q", *frames))
    assert granter.do([Step(GRANT_FRAMES, (TABLE, 1))]) == [0]


def map_and_unmap(call: Call, domid: int, seconds: float) -> dict[str, int]:
    """Map and unmap the references from dom0; returns counts."""
    report = {"mapped": 0, "refused": 0, "unmap_refused": 0}
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        held = []
        for gref in GREFS:
            with contextlib.suppress(GrantError):
                held += call.map_device([(domid, gref)])
        report["mapped"] += len(held)
        report["refused"] += COUNT - len(held)
        report["unmap_refused"] += sum(status != 0 for status in call.unmap_device(held))
    return report


def main(seconds: float) -> dict:
    with Mapper() as granter, Mapper() as mapper, Call() as call, Ctrl() as ctrl:
        grant_pages(granter)
        mappers = mapper.domid << 32
        granter.mailbox.begin(
            [Step(VERSION_LOOP, (TABLE, 0, FIRST, COUNT, mappers, granter.mailbox.data + LIST))]
        )
        at = mapper.window(8)
        loops = [
            Step(MAP_LOOP, (granter.domid, FIRST + part, 8, flags, at, 0))
            for part, flags in ((0, HOST), (4, HOST | DEVICE))
        ]
        report = {"dom0": {}, "mapper": []}
        for loop in loops:
            mapper.mailbox.begin([loop])
            report["dom0"] = map_and_unmap(call, granter.domid, seconds / 2)
            mapper.mailbox.stop()
            mapper.mailbox.results()
            report["mapper"].append(mapper.mailbox.counters())
        granter.mailbox.stop()
        report["last_switch"] = granter.mailbox.results()[0]
        report["granter"] = granter.mailbox.counters()
        entries = granter.do(Step(READ, (TABLE + 8 * gref,)) for gref in range(16))
        report["marks_left"] = [gref for gref, e in enumerate(entries) if e & (READING | WRITING)]
        report["pins_left"] = active_entries(ctrl, [granter.domid])
        report["usage"] = read_counters(mapper.domid)
    return report


if __name__ == "__main__":
    print(json.dumps(main(float(sys.argv[1]))))
