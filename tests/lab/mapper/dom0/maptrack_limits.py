"""Maps in mappers with few or no maptrack frames until Xen refuses.

arguments: cases, each KIND:FRAMES. Prints a JSON line for each case.
"""

import json
import sys

from granters import FIRST, Granters
from mapper import DEVICE, HOST, Mapper

GREFS = 1000
#: number of the toolstack's references, whose mappings are always slow
RESERVED = 8
TIMES = 100


def fill_maptrack(kind: str, frames: int) -> dict:
    """Map until Xen refuses: first references that are always slow, then ones that can be fast."""
    flags = HOST if kind == "pvh" else DEVICE
    with Granters(1, GREFS) as granters, Mapper(kind, maptrack=frames) as mapper:
        granter = granters.all[0]
        granter.grant(0, FIRST + GREFS, mapper.domid)
        report = {"requested": GREFS}
        for name, first, grefs, times in (
            ("slow", 0, RESERVED, TIMES),
            ("fast", FIRST, GREFS, 1),
        ):
            report[name] = mapper.hold(granter.domid, first, grefs, flags, times)
            report[f"{name}_status"] = mapper.mailbox.counters()["map_status"]
    return report


if __name__ == "__main__":
    for case in sys.argv[1:]:
        kind, frames = case.split(":")
        print(json.dumps(fill_maptrack(kind, int(frames))), flush=True)
