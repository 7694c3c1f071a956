"""What the IOMMU of a lab was asked to forget: QEMU's own account of it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lablib import record
from lablib.monitor import Monitor

from tests.lab.reach import Dom0

#: QEMU's trace events, of an invalidation of everything, of a domain, and of some pages
EVENTS = ("vtd_inv_desc_iotlb_global", "vtd_inv_desc_iotlb_domain", "vtd_inv_desc_iotlb_pages")


@contextmanager
def invalidations(lab: Dom0) -> Iterator[list[str]]:
    """List the IOTLB invalidations of the time in between, a line each, when it is over."""
    found: list[str] = []
    with (
        tempfile.TemporaryDirectory() as place,
        Monitor(record.directory(lab.name) / "monitor") as monitor,
    ):
        log = Path(place) / "log"
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
