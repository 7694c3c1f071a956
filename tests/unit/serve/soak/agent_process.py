"""`xengt serve` as a process, on fakes of Xen.

Arguments: a directory with `domains/`, a directory of domains, and `xenstored`, the daemon's
socket; then those of the command. Maps and unmaps go through xengt's own engines and C code to
tests/c/fake_xen.c, which is preloaded.
"""

import sys
from functools import partial
from pathlib import Path

import pytest

from tests.unit import stand_in
from tests.unit.fake_hypervisor import FakeHypFs, FakeHypFsNumbers
from tests.unit.serve.soak.shared_hypervisor import SharedCtrl, SharedHypervisor
from xengt import cli
from xengt.bench.granters import empty_domains, toolstack
from xengt.recovery import domain_owner, journal, sweep
from xengt.serve import agent, probe
from xengt.serve.metrics import console_metrics
from xengt.sharing.references import Reference
from xengt.usage import reading
from xengt.xen import host, limits, maptrack, preflight
from xengt.xen.grant_table import FIRST_GREF


class EmptyDomains(empty_domains.EmptyDomains):
    """Domains without pages: the fake libraries map any reference."""

    def _create(self, pages):
        domid = self._ctrl.create_empty(domain_owner.uuid(), 1)
        self._domids.append(domid)
        grefs = range(FIRST_GREF, FIRST_GREF + pages)
        return [Reference(domid, gref, domid << 32 | gref) for gref in grefs]


def install(patch, directory):
    """Replace what needs Xen."""
    xen = SharedHypervisor(directory / "domains")
    for module in (host, console_metrics, reading, empty_domains, toolstack, sweep):
        patch.setattr(module, "Ctrl", lambda: SharedCtrl(xen))
    for module in (reading, limits, maptrack):
        patch.setattr(module, "HypFs", lambda: FakeHypFs(xen))
    patch.setattr("xengt.usage.hypfs.HypFsNumbers", partial(FakeHypFsNumbers, xen))
    patch.setattr(empty_domains, "ForeignMemory", stand_in.Handle)
    patch.setattr(probe, "EmptyDomains", EmptyDomains)
    patch.setattr(preflight, "require_control_domain", lambda: None)
    patch.setattr(agent, "require_dom0", lambda _engines: None)
    patch.setattr("xengt.xen.xenstore.PATHS", (directory / "xenstored",))
    open_journal = partial(journal.open_journal, directory / "mappings")
    patch.setattr(probe.journal, "open_journal", open_journal)


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as monkeypatch:
        install(monkeypatch, Path(sys.argv.pop(1)))
        cli.main()
