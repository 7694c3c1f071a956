"""Events in a lab's emulated hardware, from QEMU's trace."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lablib import record
from lablib.monitor import Monitor

from tests.lab.lab_dom0 import Dom0


@contextmanager
def qemu_events(lab: Dom0, *names: str) -> Iterator[list[str]]:
    """Yield a list that is filled when the block ends: one line of QEMU's log per event.

    Args:
        lab: a running lab.
        names: names of trace events; QEMU ignores those that its version does not have.
    """
    found: list[str] = []
    with (
        tempfile.TemporaryDirectory() as directory,
        Monitor(record.directory(lab.name) / "monitor") as monitor,
    ):
        log = Path(directory) / "log"
        monitor.do(f"logfile {log}")
        for name in names:
            monitor.do(f"trace-event {name} on")
        try:
            yield found
        finally:
            for name in names:
                monitor.do(f"trace-event {name} off")
            monitor.do("logfile /dev/null")
            lines = log.read_text(errors="replace").splitlines()
            found += [line for line in lines if any(name in line for name in names)]
