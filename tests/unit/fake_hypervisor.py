"""A fake hypervisor, patched or stock, behind fakes of Xen's libraries."""

import errno

import pytest

from tests.unit import stand_in
from tests.unit.xenstored import FakeXenstored
from xengt.usage import reading
from xengt.xen import limits, maptrack
from xenlib_cffi.ctrl_results import ConsolePart, DomainInfo, PhysInfo, XenVersion
from xenlib_cffi.errors import XenLibraryError

#: name of a domain's figure in hypfs → key in the documents of `xengt usage`
NAMES = {
    "frames": "grant_frames",
    "max-frames": "max_grant_frames",
    "maptrack-frames": "maptrack_frames",
    "max-maptrack-frames": "max_maptrack_frames",
    "fast-live": "fast_live",
    "fast-maps": "fast_maps",
    "slow-live": "slow_live",
    "slow-maps": "slow_maps",
    "flushes": "tlb_flushes",
    "skipped-flushes": "skipped_tlb_flushes",
}


def failed(call, subject, number=errno.ENOENT):
    return XenLibraryError(call, subject, number)


class FakeHypervisor:
    """The state of a hypervisor.

    Attributes:
        tables: content of hypfs by domid and name; None for stock Xen, which has no /gnttab.
        hypfs: whether there is a hypfs.
        domains: UUID by domid.
        sizes: result of GNTTABOP_query_size by domid; an exception in place of a result is raised.
        dying: domids.
        commandline: of Xen.
        entries: entries in use by the granter's domid, each as (reference, mapper, pin counters).
        console: all that Xen has printed on its console, in ASCII.
        conring_size: bytes of the console ring, in which `console` is kept.
        before: called with the path or domid of every query before it is answered.
    """

    def __init__(self):
        self.hypfs = True
        self.tables = {}
        self.domains = {}
        self.sizes = {}
        self.dying = set()
        self.commandline = "console=com1"
        self.entries = {}
        self.console = "(XEN) Xen version 4.20.3 (x) debug=n Sun\n"
        self.conring_size = 16384
        self.before = lambda _query: None

    def have(self, domid, *figures):
        """Add a domain with its ten figures, in the order of `NAMES`."""
        self.domains[domid] = bytes([domid % 256]) * 16
        self.sizes[domid] = figures[:2]
        self.tables[domid] = dict(zip(NAMES, map(str, figures), strict=True))

    def lose(self, domid):
        """Remove a domain."""
        for table in (self.domains, self.sizes, self.tables or {}):
            table.pop(domid, None)

    def print_tables(self):
        """Print all grant tables as gnttab_usage_print_all() of Xen 4.20 does."""
        lines = ["gnttab_usage_print_all [ key 'g' pressed"]
        for domid in sorted(self.domains):
            frames, limit = self.sizes[domid]
            lines += [
                "      -------- active --------       -------- shared --------",
                "[ref] localdom mfn      pin          localdom gmfn     flags",
                f"grant-table for remote d{domid} (v1)",
                f"  {frames} frames ({limit} max), 3 maptrack frames (1024 max)",
            ]
            entries = self.entries.get(domid, ())
            lines += [
                f"[0x{gref:03x}]  {mapper:5d} 0x{0x12345 + gref:08x} 0x{pin:08x}      "
                f"{mapper:5d} 0x{0x777 + gref:06x} 0x19"
                for gref, mapper, pin in entries
            ]
            lines += [] if entries else ["no active grant table entries"]
        lines += ["gnttab_usage_print_all ] done"]
        self.console += "".join(f"(XEN) {line}\n" for line in lines)


class FakeHypFs(stand_in.Handle):
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


class FakeHypFsNumbers(stand_in.Handle):
    """Stands in for XEN_HYPFS_OP_read: None for a missing entry; other errors are raised."""

    def __init__(self, xen, names):
        self.xen, self.names = xen, names

    def close(self):
        pass

    def read(self, directory):
        return [self.number(directory, name) for name in self.names]

    def number(self, directory, name):
        self.xen.before(f"{directory}/{name}")
        table = (self.xen.tables or {}).get(int(directory.rpartition("/")[2]), {})
        return int(table[name]) if name in table else None


class FakeCtrl(stand_in.Handle):
    def __init__(self, xen):
        self.xen = xen

    def version(self):
        return XenVersion(4, 20, ".3", "", "00ff", self.xen.commandline, "xen-3.0-x86_64", "", "")

    def physinfo(self):
        return PhysInfo(4, 1, 1, 1, 1, 0, hvm=True, pv=True, directio=False)

    def console(self):
        return self.xen.console

    def domains(self):
        self.xen.before("domains")
        for domid, uuid in sorted(self.xen.domains.items()):
            yield DomainInfo(domid, domid in self.xen.dying, False, False, False, 1, 1, uuid)

    def send_debug_keys(self, keys):
        assert keys == "g"
        self.xen.before("g")
        self.xen.print_tables()

    def domain(self, domid):
        return next((each for each in self.domains() if each.domid == domid), None)

    def console_from(self, position):
        self.xen.before("console")
        end = len(self.xen.console)
        oldest = max(end - self.xen.conring_size, 0)
        begin = max(position or 0, oldest)
        lost = 0 if position is None else begin - position
        text = "\n" * bool(lost) + self.xen.console[begin:]
        return ConsolePart(text.encode(), end, lost)

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
    """A hypervisor without domains; `xen.store` is its XenStore."""
    made = FakeHypervisor()

    def hypfs():
        if not made.hypfs:
            raise failed("xenhypfs_open", "hypfs", errno.EOPNOTSUPP)
        return FakeHypFs(made)

    for module in (reading, limits, maptrack):
        monkeypatch.setattr(module, "HypFs", hypfs)
    monkeypatch.setattr(
        "xengt.usage.hypfs.HypFsNumbers", lambda names: FakeHypFsNumbers(made, names)
    )
    monkeypatch.setattr(reading, "Ctrl", lambda: FakeCtrl(made))
    made.store = FakeXenstored(tmp_path / "socket")
    made.store.nodes["/local/domain/0/name"] = b"Domain-0"
    monkeypatch.setattr("xengt.xen.xenstore.PATHS", (made.store.path,))
    yield made
    made.store.stop()
