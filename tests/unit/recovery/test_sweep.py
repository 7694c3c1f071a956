"""The sweep finds slow and fast mappings of a killed run, and no mappings of others."""

import errno

import pytest

from tests.unit import stand_in
from tests.unit.xenstored import FakeXenstored
from xengt.recovery import domain_destruction, journal, sweep
from xenlib_cffi.errors import XenLibraryError

# The mappings of a killed run in tests/c/fake_xen.h, and the granter's table that shows them.
KILLED = """
from contextlib import ExitStack
from xengt.recovery import sweep
from xengt.sharing.references import Reference
from xenlib_cffi.call import Call, GrantMapping

HANDLES = 1024
sweep.maptrack_handles = lambda: HANDLES

class Table:
    size = 1 << 32

    def in_use(self, gref):
        return any(m.live and (m.domid, m.gref) == (7, gref) for m in entries())

def entries():
    return [fake.maptrack[i] for i in range(fake.handles)]

def live():
    return sorted((m.gref, m.device) for m in entries() if m.live)

def search(call, *grefs, table=True):
    sweep._open_grant_table = lambda *_: Table() if table else None
    before = fake.offered
    found = sweep._search(call, None, [Reference(7, gref, 0) for gref in grefs])
    return found, fake.offered - before
"""
#: further unmaps: that of the mapping made to learn the page's address
OWN = 1


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("readonly", [False, True])
def test_fast_mappings_are_found_by_their_calculated_handles(on_fake_xen, readonly, table):
    out = on_fake_xen(f"""{KILLED}
fake.fast = True
with Call() as call:
    mappings = call.map_device([(7, 8), (7, 8), (7, 65_535)], readonly={readonly})
    print([hex(mapping.handle) for mapping in mappings])
    print(search(call, 8, 65_535, table={table}), live())
""")
    # Without the granter's table, the slow handles are offered as well.
    slow = 0 if table else 1024
    assert out == (f"['0x80070008', '0x80070008', '0x8007ffff']\n(2, {2 * (OWN + 2 + slow)}) []\n")


def test_a_third_mapping_is_found_among_the_slow_handles(on_fake_xen):
    out = on_fake_xen(f"""{KILLED}
fake.fast = True
with Call() as call:
    mappings = call.map_device([(7, 8)] * 3)
    print([hex(mapping.handle) for mapping in mappings])
    print(search(call, 8), live())
""")
    assert out == f"['0x80070008', '0x80070008', '0x2']\n(1, {OWN + 2 + 1024}) []\n"


@pytest.mark.parametrize("gref", [7, 65_536, 1 << 20])
def test_mappings_without_a_fast_handle_are_found_among_the_slow_handles(on_fake_xen, gref):
    out = on_fake_xen(f"""{KILLED}
fake.fast = True
with Call() as call:
    (mappings,) = call.map_device([(7, {gref})])
    print(mappings.handle)
    print(search(call, {gref})[0], live(), fake.stale < 1024 + 2)
""")
    assert out == "0\n1 [] True\n"


def test_on_stock_xen_the_fast_handle_is_rejected(on_fake_xen):
    out = on_fake_xen(f"""{KILLED}
with Call() as call:
    call.map_device([(7, 8), (7, 9), (8, 8)])
    print(search(call, 8), live())
""")
    assert out == f"(1, {OWN + 2 + 1024}) [(8, True), (9, True)]\n"


def test_mappings_of_the_page_by_other_drivers_stay(on_fake_xen):
    out = on_fake_xen(f"""{KILLED}
fake.fast = True
host = library.fake_xen_map(False, 7, 8)
fake.maptrack[host].fast = True
with Call() as call:
    call.map_device([(7, 8)])
    print(search(call, 8)[0], live())
""")
    assert out == "1 [(8, False)]\n"


def test_a_reference_that_is_not_in_use_is_not_searched_for(on_fake_xen):
    out = on_fake_xen(f"""{KILLED}
fake.fast = True
with Call() as call:
    print(search(call, 8), search(call))
""")
    assert out == "(0, 0) (0, 0)\n"


# The granter's grant table as libxenforeignmemory maps it.
TABLE = """
fake.tables = True

class Ctrl:
    frames, version = 2, 1

    def grant_size(self, domid):
        return self.frames, 64

    def grant_version(self, domid):
        return self.version

def search_table(call, ctrl, *grefs):
    return sweep._search(call, ctrl, [Reference(7, gref, 0) for gref in grefs])
"""


@pytest.mark.parametrize("version", [1, 2])
def test_mappings_are_found_in_grant_tables_of_both_versions(on_fake_xen, version):
    out = on_fake_xen(f"""{KILLED}{TABLE}
fake.version2 = {version} == 2
ctrl = Ctrl()
ctrl.version = {version}
with Call() as call:
    call.map_device([(7, 8), (7, 9), (7, 300)])
    print(search_table(call, ctrl, 8, 9, 300), live(), fake.open)
    print(search_table(call, ctrl, 8, 9, 300))
""")
    # The entries of the second search are not in use any more.
    assert out == "3 [] 1\n0\n"


@pytest.mark.parametrize("version", [1, 2])
def test_a_reference_beyond_the_granters_table_is_not_mapped(on_fake_xen, version):
    """As after a reboot of the granter: a new domain has its domid and a smaller table."""
    out = on_fake_xen(f"""{KILLED}{TABLE}
fake.version2 = {version} == 2
ctrl = Ctrl()
ctrl.frames, ctrl.version = 1, {version}
with Call() as call:
    call.map_device([(7, 20)])
    print(search_table(call, ctrl, 2048, 20, 5000), live())
""")
    assert out == "1 []\n"


# A run that holds mappings and is killed; the sweep cleans up with its journal.
HOLDS = """
from xengt.recovery import journal
from xengt.bench.engines.hypercall import HypercallEngine
from xengt.sharing.references import Reference

references = [Reference(7, gref, 0) for gref in (8, 9, 65_535)]
fake.fast = True
"""


def test_held_fast_handles_are_recorded_in_the_journal(on_fake_xen, tmp_path):
    out = on_fake_xen(f"""{KILLED}{HOLDS}
from pathlib import Path
path = Path({str(tmp_path / "xengt" / "mappings")!r})
with journal.open_journal(path) as opened:
    HypercallEngine(False).prepare(opened, [references], 1, references * 3)
    print(len(live()), fake.live)
with journal.open_journal(path) as opened, Call() as call:
    held = opened.read().held
    print([hex(mapping.handle) for mapping in held])
    print(set(call.unmap_device(held)), fake.live, fake.stale)
""")
    fast = ["0x80070008", "0x80070009", "0x8007ffff"]
    assert out == f"9 9\n{[*fast, *fast, '0x6', '0x7', '0x8']}\n{{0}} 0 0\n"


def test_held_mappings_with_fast_handles_are_released(on_fake_xen, tmp_path):
    out = on_fake_xen(f"""{KILLED}{HOLDS}
from pathlib import Path
with journal.open_journal(Path({str(tmp_path / "xengt" / "mappings")!r})) as opened:
    engine = HypercallEngine(True)
    engine.prepare(opened, [references], 1, references * 2)
    print(fake.live)
    engine.release(opened)
    print(fake.live, fake.stale, opened.read().mapped)
""")
    assert out == "6\n0 0 False\n"


@pytest.fixture
def abandoned(tmp_path, monkeypatch):
    """XenStore with the nodes of domains 5 and 6, of which domain 5 is an abandoned one."""
    daemon = FakeXenstored(tmp_path / "socket")
    monkeypatch.setattr("xengt.xen.xenstore.PATHS", (daemon.path,))
    monkeypatch.setattr(sweep, "Ctrl", stand_in.Handle)
    monkeypatch.setattr(sweep, "Call", lambda: stand_in.Yielding(Unmapping()))
    monkeypatch.setattr(sweep, "abandoned_domains", lambda _ctrl: [5])
    daemon.nodes |= {f"/local/domain/{domid}/name": b"xengt-5" for domid in (5, 6)}
    daemon.write("/local/domain/5/control/shutdown", b"poweroff")
    yield daemon
    daemon.stop()


class Unmapping:
    def unmap_device(self, mappings):
        assert mappings == []


@pytest.fixture
def journal_of_a_killed_run(tmp_path):
    with journal.open_journal(tmp_path / "xengt" / "mappings") as opened:
        yield opened


def below(daemon, path):
    return [node for node in daemon.nodes if node.startswith(path)]


def test_the_nodes_of_an_abandoned_domain_are_removed_before_it_is_destroyed(
    abandoned, journal_of_a_killed_run, monkeypatch
):
    nodes = []
    monkeypatch.setattr(
        sweep, "destroy_domains", lambda *_: nodes.append(below(abandoned, "/local/domain/5"))
    )
    assert sweep.clean_up(journal_of_a_killed_run).domains == (5,)
    assert nodes == [[]]
    assert below(abandoned, "/local/domain/6") == ["/local/domain/6/name"]


@pytest.mark.parametrize("fault", ["silent", "hangup", "absent"])
def test_an_abandoned_domain_is_destroyed_without_xenstore(
    abandoned, journal_of_a_killed_run, monkeypatch, fault
):
    destroyed = []
    monkeypatch.setattr(sweep, "destroy_domains", lambda _ctrl, domids: destroyed.extend(domids))
    if fault == "absent":
        abandoned.stop()
    else:
        abandoned.fault = fault
    assert sweep.clean_up(journal_of_a_killed_run).domains == (5,)
    assert destroyed == [5]


class OtherCtrl(stand_in.Handle):
    """A libxenctrl whose requests to list domains Xen rejects."""

    def __init__(self, number):
        self.number = number

    def domains(self):
        raise XenLibraryError("xc_domain_getinfolist", "domains from 0", self.number)
        yield


def test_a_xen_of_another_version_has_no_abandoned_domains():
    ctrl = OtherCtrl(errno.EACCES)
    assert sweep.abandoned_domains(ctrl) == []
    domain_destruction.destroy_domains(ctrl, [])


def test_a_rejection_for_lack_of_privileges_is_an_error():
    with pytest.raises(XenLibraryError, match="EPERM"):
        sweep.abandoned_domains(OtherCtrl(errno.EPERM))
