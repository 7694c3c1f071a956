"""Maps references by hypercall as a run does, says what that came to, and waits to be killed.

arguments: the journal's file, and DOMID:GREF each; or none, for a page of a domain of its own.
"""

import json
import signal
import sys
from pathlib import Path

from xengt import journal
from xengt.engines.hypercall import HypercallEngine
from xengt.granters.empty import EmptyDomains
from xengt.references import Reference


def main(path: str, *words: str) -> None:
    given = [Reference(*map(int, word.split(":")), 0) for word in words]
    with EmptyDomains(1) as domains, journal.opened(Path(path)) as book:
        references = given or domains.references(1)
        engine = HypercallEngine(readonly=False)
        engine.shares(book, [[]], 1, references)
        held = book.read().held
        print(json.dumps([references, held]), flush=True)
        signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
