"""What the agent counts in Xen's console ring when Xen crashes a guest and expands a grant table.

Prints a JSON line: the guest's domid, and the counts of the events by name with the bytes that were
lost.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mapper import Mapper
from mapper_mailbox import GRANT_FRAMES, HYPERCALL, WRITE, Step
from patience import patient

from xengt.serve.metrics import definitions
from xengt.serve.metrics.console_metrics import ConsoleMetrics
from xenlib_cffi.hypfs import HypFs

SET_TRAP_TABLE = 0
#: addresses that the mapper does not use: for its grant table, and without a page
TABLE, NOWHERE = 0x5000_0000, 0x7000_0000
#: frames of its grant table; a domain starts with one
FRAMES = 2


#: which messages about guests Xen prints; labs with a debug build print errors only
LEVEL = "/params/guest_loglvl"


@contextmanager
def all_guest_messages() -> Iterator[None]:
    with HypFs() as fs:
        before = fs.read(LEVEL)
    subprocess.run(["xenhypfs", "write", LEVEL, "all"], check=True)
    try:
        yield
    finally:
        subprocess.run(["xenhypfs", "write", LEVEL, str(before)], check=True)


def count(source: ConsoleMetrics) -> dict[str, float]:
    """Return the events and the lost bytes that the agent's source reports."""
    families = {family.name: family for family in source.families()}
    (lost,) = families[definitions.CONSOLE_LOST.name].numbers
    events = families[definitions.CONSOLE_EVENTS.name]
    counts = zip((event for (event,) in events.label_values), events.numbers, strict=True)
    return dict(counts) | {"lost": lost}


def crash(mapper: Mapper) -> None:
    """Let the mapper fault after it has removed its fault handlers, so that Xen crashes it."""
    assert mapper.mailbox
    mapper.mailbox.begin([Step(HYPERCALL, (SET_TRAP_TABLE,)), Step(WRITE, (NOWHERE, 0))])
    deadline = time.monotonic() + patient(60)
    while not (found := mapper.ctrl.domain(mapper.domid)) or not found.shutdown:
        assert time.monotonic() < deadline, f"mapper {mapper.domid} has not crashed"
        time.sleep(0.01)


def main() -> tuple[int, dict[str, float]]:
    source = ConsoleMetrics()
    before = count(source)
    with all_guest_messages(), Mapper() as mapper:
        assert mapper.do([Step(GRANT_FRAMES, (TABLE, FRAMES))]) == [0]
        crash(mapper)
        after = count(source)
        domid = mapper.domid
    return domid, {name: after[name] - before[name] for name in before}


if __name__ == "__main__":
    print(json.dumps(main()))
