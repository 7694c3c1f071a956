"""Cleans up the mappings of a killed run whose granter has a version 2 grant table.

The granter runs the mapper kernel. Prints a JSON line.
"""

import json
import struct
import tempfile
from pathlib import Path

from active_entries import active_entries
from granters import PERMIT
from mapper import Mapper
from mapper_mailbox import GRANT_FRAMES, HYPERCALL, PAGE, WRITE, Step

from xengt.recovery import journal, sweep
from xengt.sharing.references import Reference
from xenlib_cffi.call import Call
from xenlib_cffi.ctrl import Ctrl

TABLE = 0x5000_0000
#: reserved references, and others beyond the first 2 KiB of the table
GREFS = (5, 8, 9, 200)
GRANT_TABLE_OP, SET_VERSION = 20, 8
#: bytes of `grant_entry_v2_t`
ENTRY = 16


def grant_pages(granter: Mapper) -> None:
    """Change the granter's table to version 2, and grant pages of its mailbox to dom0."""
    box = granter.mailbox
    assert granter.do([Step(GRANT_FRAMES, (TABLE, 1))]) == [0]
    version = box.put(0, struct.pack("<I", 2))
    assert granter.do([Step(HYPERCALL, (GRANT_TABLE_OP, SET_VERSION, version, 1))]) == [0]
    first = (box.data - box.address) // PAGE
    for index, gref in enumerate(GREFS):
        entry = TABLE + ENTRY * gref
        frame = box.frames[first + index]
        assert granter.do([Step(WRITE, (entry + 8, frame)), Step(WRITE, (entry, PERMIT))]) == [0, 0]


def main() -> dict:
    with Mapper() as granter, Call() as call, Ctrl() as ctrl:
        grant_pages(granter)
        domid = granter.domid
        references = [Reference(domid, gref, 0) for gref in GREFS]
        path = Path(tempfile.mkdtemp()) / "mappings"
        with journal.open_journal(path) as opened:
            (cursor,) = opened.begin([journal.Writer(references, len(references))], 0)
            cursor[:] = (1).to_bytes(8, "little")
            held = call.map_device([(domid, gref) for gref in GREFS] * 3)
        report = {"version": ctrl.grant_version(domid), "before": active_entries(ctrl, [domid])}
        with journal.open_journal(path) as opened:
            report["searched"] = sweep.clean_up(opened).searched
        report["after"] = active_entries(ctrl, [domid])
        report["unmap"] = sorted(set(call.unmap_device(held)))
    return report


if __name__ == "__main__":
    print(json.dumps(main()))
