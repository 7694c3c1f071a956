"""Hypervisors for `xengt usage` to read, patched and stock, whose domains come and go."""

import errno

import pytest

from tests.unit import stand_in
from tests.unit.xenstored import FakeXenstored
from xengt.usage import reading
from xengt.xen import limits, maptrack
from xenlib_cffi.ctrl import DomainInfo, XenVersion
from xenlib_cffi.errors import XenLibraryError

#: hypfs' names of a domain's figures, and the document's
NAMES = {
    "frames": "grant_frames",
    "max-frames": "max_grant_frames",
    "maptrack-frames": "maptrack_frames",
    "max-maptrack-frames": "max_maptrack_frames",
    "fast-live": "fast_live",
    "fast-maps": "fast_maps",
    "slow-live": "slow_live",
    "slow-maps": "slow_maps",
}


def failed(call, subject, number=errno.ENOENT):
    return XenLibraryError(call, subject, number)


class Xen:
    """A hypervisor, as the libraries show it.

    Attributes:
        tables: by domid, text by hypfs' name; None for a Xen without /gnttab.
        hypfs: whether there is hypfs at all.
        domains: by domid, a UUID.
        sizes: by domid, what GNTTABOP_query_size tells; an error is raised.
        before: called with every path or domid before it is answered.
    """

    def __init__(self):
        self.hypfs = True
        self.tables = {}
        self.domains = {}
        self.sizes = {}
        self.dying = set()
        self.commandline = "console=com1"
        self.before = lambda _what: None

    def have(self, domid, *figures):
        """Add a domain with its eight figures."""
        self.domains[domid] = bytes([domid % 256]) * 16
        self.sizes[domid] = figures[:2]
        self.tables[domid] = dict(zip(NAMES, map(str, figures), strict=True))

    def lose(self, domid):
        """Remove a domain."""
        for books in (self.domains, self.sizes, self.tables or {}):
            books.pop(domid, None)


class HypFs(stand_in.Handle):
    def __init__(self, xen):
        self.xen = xen

    def list(self, path):
        self.xen.before(path)
        if path == "/":
            return {"params": True} | ({} if self.xen.tables is None else {"gnttab": True})
        if self.xen.tables is None:
            raise failed("xenhypfs_readdir", path)
        if path == "/gnttab":
            return {str(domid): True for domid in self.xen.tables} | {"version": False}
        return dict.fromkeys(self._table(path.removeprefix("/gnttab/"), path), False)

    def read(self, path):
        self.xen.before(path)
        if path.startswith("/params/"):
            return "1024"
        _, _, domid, name = path.split("/")
        return self._table(domid, path)[name]

    def _table(self, domid, path):
        if int(domid) not in self.xen.tables:
            raise failed("xenhypfs_read", path)
        return self.xen.tables[int(domid)]


class HypFsNumbers(stand_in.Handle):
    """What stands on XEN_HYPFS_OP_read: no entry is None, whatever else is wrong is raised."""

    def __init__(self, xen, names):
        self.xen, self.names = xen, names

    def read(self, directory):
        return [self.number(directory, name) for name in self.names]

    def number(self, directory, name):
        self.xen.before(f"{directory}/{name}")
        table = (self.xen.tables or {}).get(int(directory.rpartition("/")[2]), {})
        return int(table[name]) if name in table else None


class Ctrl(stand_in.Handle):
    def __init__(self, xen):
        self.xen = xen

    def version(self):
        return XenVersion(4, 20, ".3", "", "00ff", self.xen.commandline, "xen-3.0-x86_64", "", "")

    def domains(self):
        self.xen.before("domains")
        for domid, uuid in sorted(self.xen.domains.items()):
            yield DomainInfo(domid, domid in self.xen.dying, False, False, False, 1, 1, uuid)

    def domain(self, domid):
        return next((each for each in self.domains() if each.domid == domid), None)

    def grant_size(self, domid):
        self.xen.before(domid)
        if domid not in self.xen.sizes:
            raise failed("xc_gnttab_query_size", f"domain {domid}", errno.ESRCH)
        size = self.xen.sizes[domid]
        if isinstance(size, Exception):
            raise size
        return size


@pytest.fixture
def xen(monkeypatch, tmp_path):
    """A hypervisor without domains, and its XenStore as `xen.store`."""
    made = Xen()

    def hypfs():
        if not made.hypfs:
            raise failed("xenhypfs_open", "hypfs", errno.EOPNOTSUPP)
        return HypFs(made)

    for module in (reading, limits, maptrack):
        monkeypatch.setattr(module, "HypFs", hypfs)
    monkeypatch.setattr("xengt.usage.hypfs.HypFsNumbers", lambda names: HypFsNumbers(made, names))
    monkeypatch.setattr(reading, "Ctrl", lambda: Ctrl(made))
    made.store = FakeXenstored(tmp_path / "socket")
    made.store.nodes["/local/domain/0/name"] = b"Domain-0"
    monkeypatch.setattr("xengt.xen.xenstore.PATHS", (made.store.path,))
    yield made
    made.store.stop()
