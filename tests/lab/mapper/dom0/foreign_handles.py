"""Mappers unmap handles of each other, and stale ones of their own. Prints a JSON line."""

import json

from grant_operations import map_one, unmap_one
from granters import FIRST, PERMIT, Granters
from mapper import DEVICE, Mapper

GREFS = 16


def main() -> dict:
    with Granters(1, GREFS) as granters, Mapper() as owner, Mapper() as thief:
        granter = granters.all[0]
        granters.grant(owner.domid)
        grefs = range(FIRST, FIRST + GREFS)
        mine = [map_one(owner, granter.domid, gref, DEVICE) for gref in [*grefs, *grefs]]
        report = {
            "mapped": [mapping.status for mapping in mine],
            "stolen": [unmap_one(thief, m.handle, bus=m.bus) for m in mine],
            "marks": len(granter.marks()),
        }
        # The thief maps other references of the same granter.
        granter.grant(FIRST + GREFS, GREFS, thief.domid)
        theirs = [map_one(thief, granter.domid, gref + GREFS, DEVICE) for gref in grefs]
        report["known_by_their_numbers"] = {m.handle for m in mine}.isdisjoint(
            m.handle for m in theirs
        )
        if report["known_by_their_numbers"]:  # on stock the handles of every mapper start at 0
            report["stolen_again"] = [unmap_one(thief, m.handle, bus=m.bus) for m in mine]
        report["marks_again"] = len(granter.marks())
        report["returned"] = [unmap_one(owner, m.handle, bus=m.bus) for m in mine]
        report["stale"] = [unmap_one(owner, m.handle, bus=m.bus) for m in mine]
        # The owner's references are granted to the thief, who maps them: the owner's handles stay
        # stale.
        granter.grant(FIRST, GREFS, thief.domid, PERMIT)
        theirs += [map_one(thief, granter.domid, gref, DEVICE) for gref in grefs]
        report["stale_again"] = [unmap_one(owner, m.handle, bus=m.bus) for m in mine]
        report["marks_at_last"] = len(granter.marks())
        report["given_back"] = [unmap_one(thief, m.handle, bus=m.bus) for m in theirs]
        report["marks_left"] = len(granter.marks())
    return report


if __name__ == "__main__":
    print(json.dumps(main()))
