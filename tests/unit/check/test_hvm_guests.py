"""Whether the grant tables of HVM guests are cacheable, from XenStore and the CPU's vendor."""

import pytest

from tests.unit.xenstored import FakeXenstored
from xengt.check import State, hvm_guests
from xengt.xen import kernel
from xenlib_cffi.ctrl_results import DomainInfo


def domain(domid, *, hvm):
    return DomainInfo(domid, False, False, False, hvm, 1, 1, bytes(16))


#: dom0, two HVM guests, a PVH guest and a PV guest
DOMAINS = [
    domain(0, hvm=False),
    domain(3, hvm=True),
    domain(4, hvm=True),
    domain(5, hvm=True),
    domain(6, hvm=False),
]


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A XenStore in which hvmloader has settings for domains 3 and 4."""
    daemon = FakeXenstored(tmp_path / "socket")
    monkeypatch.setattr("xengt.xen.xenstore.PATHS", (daemon.path,))
    monkeypatch.setattr(kernel, "cpu_vendor", lambda: "AuthenticAMD")
    for domid in (3, 4):
        daemon.nodes[f"/local/domain/{domid}/hvmloader/bios"] = b"seabios"
    yield daemon
    daemon.stop()


def told(store, domid, value):
    store.nodes[f"/local/domain/{domid}/hvmloader/pci/xen-platform-pci-bar-uc"] = value


def test_guests_that_map_their_table_uncacheable_are_a_warning_on_amd(store):
    told(store, 3, b"1")
    told(store, 4, b"0")
    check = hvm_guests.run(DOMAINS)
    assert check.state is State.WARNING
    assert check.what.startswith("uncacheable in domains 3, if")
    assert "xen_platform_pci_bar_uc=0" in check.remedy
    assert check.prevents == ()


def test_a_toolstack_that_does_not_know_the_setting_means_uncacheable(store):
    told(store, 4, b"0")
    assert hvm_guests.run(DOMAINS).what.startswith("uncacheable in domains 3, if")


def test_cacheable_tables_are_ok(store):
    told(store, 3, b"0")
    told(store, 4, b"0")
    assert hvm_guests.run(DOMAINS).state is State.OK


@pytest.mark.usefixtures("store")
def test_pvh_and_pv_guests_do_not_count():
    assert hvm_guests.run([DOMAINS[0], *DOMAINS[3:]]).state is State.OK


@pytest.mark.usefixtures("store")
def test_xen_overrides_the_memory_type_on_intel(monkeypatch):
    monkeypatch.setattr(kernel, "cpu_vendor", lambda: "GenuineIntel")
    check = hvm_guests.run(DOMAINS)
    assert check.state is State.OK
    assert "GenuineIntel" in check.what


@pytest.mark.usefixtures("store")
def test_without_xenstore_it_is_not_determined(monkeypatch, tmp_path):
    monkeypatch.setattr("xengt.xen.xenstore.PATHS", (tmp_path / "none",))
    assert hvm_guests.run(DOMAINS).what.startswith("not determined: XenStore does not exist")


def test_the_vendor_is_read_from_cpuinfo(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(
        "processor\t: 0\nvendor_id\t: HygonGenuine\nmodel name\t: Hygon C86\n"
    )
    assert kernel.cpu_vendor(tmp_path) == "HygonGenuine"
    assert kernel.cpu_model(tmp_path) == "Hygon C86"
    assert kernel.cpu_vendor(tmp_path / "none") == "unknown"
