"""Mappers with few maptrack frames, or none. Prints a JSON line for each.

arguments: cases, each KIND:FRAMES
"""

import json
import sys

from granters import FIRST, Granters
from mapper import DEVICE, HOST, Mapper

GREFS = 1000
#: the toolstack's references, whose mappings are always slow
RESERVED = 8
TIMES = 100


def fill_maptrack(kind: str, frames: int) -> dict:
    """Map until it is refused, first what is always slow, then what is fast where there is fast."""
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
