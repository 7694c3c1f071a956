"""A fake hypervisor whose domains are the files of a directory, which several processes share."""

import os
from dataclasses import replace
from pathlib import Path

from tests.unit.agent_fixtures import FIGURES
from tests.unit.fake_hypervisor import NAMES, FakeCtrl, FakeHypervisor

#: domids that the agent's process may create
AGENT_DOMIDS = range(20_000, 30_000)


class SharedHypervisor(FakeHypervisor):
    """A patched hypervisor.

    Args:
        directory: has a file DOMID-UUID for each domain.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        self.created = 0
        self.before = self._read

    def _read(self, query: object) -> None:
        if query == "domains":
            names = (each.split("-") for each in os.listdir(self.directory))  # noqa: PTH208
            domains = {int(domid): bytes.fromhex(uuid) for domid, uuid in names}
            figures = dict(zip(NAMES, map(str, FIGURES), strict=True))
            # Replaced at once, because other threads read them.
            self.tables = dict.fromkeys(domains, figures)
            self.sizes = dict.fromkeys(domains, FIGURES[:2])
            self.domains = domains

    def create(self, domid: int, uuid: bytes) -> None:
        (self.directory / f"{domid}-{uuid.hex()}").touch()

    def destroy(self, domid: int) -> None:
        for each in self.directory.glob(f"{domid}-*"):
            each.unlink()


class SharedCtrl(FakeCtrl):
    """What the agent calls of libxenctrl."""

    def physinfo(self):
        return replace(super().physinfo(), free_pages=1 << 20)

    def create_empty(self, uuid, max_grant_frames):
        assert max_grant_frames == 1
        domid = AGENT_DOMIDS[self.xen.created % len(AGENT_DOMIDS)]
        self.xen.created += 1
        self.xen.create(domid, uuid)
        return domid

    def destroy(self, domid):
        self.xen.destroy(domid)
