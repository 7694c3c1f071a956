"""Maps references by hypercall as a benchmark run does, prints the mappings, and waits.

arguments: the journal's file; `held`, or `unsure` for a run that has not recorded handles yet; the
references as DOMID:GREF, or none to map one page of a new empty domain. The caller kills it.
"""

import json
import signal
import sys
from pathlib import Path

from xengt.bench.engines.hypercall import HypercallEngine
from xengt.bench.granters.empty_domains import EmptyDomains
from xengt.recovery import journal
from xengt.sharing.references import Reference
from xenlib_cffi.call import Call


def main(path: str, state: str, *words: str) -> None:
    selected = [Reference(*map(int, word.split(":")), 0) for word in words]
    with EmptyDomains(1) as domains, journal.open_journal(Path(path)) as opened:
        references = selected or domains.references(1)
        if state == "held":
            HypercallEngine(readonly=False).prepare(opened, [[]], 1, references)
            mappings = opened.read().held
        else:
            (cursor,) = opened.begin([journal.Writer(references, len(references))], 0)
            cursor[:] = (1).to_bytes(8, "little")
            mappings = Call().map_device([(domid, gref) for domid, gref, _ in references])
        print(json.dumps([references, mappings]), flush=True)
        signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
