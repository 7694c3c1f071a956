"""IOTLB invalidations of a lab's IOMMU, from QEMU's trace events."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lablib import record
from lablib.monitor import Monitor

from tests.lab.lab_dom0 import Dom0

#: QEMU's trace events for a global, a domain-wide and a page-selective invalidation
EVENTS = ("vtd_inv_desc_iotlb_global", "vtd_inv_desc_iotlb_domain", "vtd_inv_desc_iotlb_pages")


@contextmanager
def invalidations(lab: Dom0) -> Iterator[list[str]]:
    """Yield a list that is filled when the block ends: one line per IOTLB invalidation."""
    found: list[str] = []
    with (
        tempfile.TemporaryDirectory() as directory,
        Monitor(record.directory(lab.name) / "monitor") as monitor,
    ):
        log = Path(directory) / "log"
        monitor.do(f"logfile {log}")
        for event in EVENTS:
            monitor.do(f"trace-event {event} on")
        try:
            yield found
        finally:
            for event in EVENTS:
                monitor.do(f"trace-event {event} off")
            monitor.do("logfile /dev/null")
            lines = log.read_text(errors="replace").splitlines()
            found += [line for line in lines if any(event in line for event in EVENTS)]
