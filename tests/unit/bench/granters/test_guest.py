"""Finding the guest that publishes, and every way there is none to use."""

import os
from types import SimpleNamespace

import pytest

from tests.patience import patient
from tests.unit import stand_in
from tests.unit.xenstored import FakeXenstored
from xengt.bench.granters import guest
from xengt.bench.granters.guest import GuestGranter
from xengt.errors import Exit, UnmetError
from xengt.sharing import publication
from xengt.sharing.publication import Publication
from xengt.sharing.references import pattern
from xengt.xen.xenstore import XenStore
from xenlib_cffi.errors import MissingLibraryError, XenLibraryError

UUID_1 = "01010101-0101-0101-0101-010101010101"


@pytest.fixture
def daemon(tmp_path):
    daemon = FakeXenstored(tmp_path / "socket")
    for domid, name in ((0, "Domain-0"), (1, "web"), (4, "db")):
        daemon.nodes[f"/local/domain/{domid}/name"] = name.encode()
    yield daemon
    daemon.stop()


@pytest.fixture
def store(daemon):
    with XenStore(daemon.path, deadline_s=patient(1)) as store:
        yield store


@pytest.fixture(autouse=True)
def domains(monkeypatch):
    """Stand in for libxenctrl's list of domains: without Xen there is none."""
    running = {
        domid: SimpleNamespace(domid=domid, dying=False, shutdown=False, uuid=bytes([domid]) * 16)
        for domid in (0, 1, 4)
    }

    class Ctrl(stand_in.Handle):
        domains = staticmethod(running.values)

    monkeypatch.setattr(guest, "Ctrl", Ctrl)
    return running


def publish(store, domid, grefs=(8, 9, 300), **changed):
    facts = {"granter": domid, "mapper": 0, "grefs": grefs, "writable": True, "pid": 77}
    publication.publish(store, Publication(**(facts | changed)))


@pytest.mark.parametrize("spec", ["guest", "guest:web", "guest:1", f"guest:{UUID_1}"])
def test_finds_the_guest_by_any_name_it_has(store, spec):
    publish(store, 1)
    with GuestGranter(spec, store) as granter:
        assert granter.name == spec
        assert granter.domid == 1
        assert granter.writable
        assert list(granter.references(2)) == [(1, 8, pattern(1, 8)), (1, 9, pattern(1, 9))]


def test_read_only_pages_are_known_as_such(store):
    publish(store, 1, writable=False)
    with GuestGranter("guest", store) as granter:
        assert not granter.writable


def test_more_references_than_pages_are_refused_with_both_numbers(store):
    publish(store, 1)
    with GuestGranter("guest:web", store) as granter:
        assert len(granter.references(3)) == 3
        with pytest.raises(UnmetError, match=r"domain 1 \(web\) shares 3 pages, but 4 ") as caught:
            granter.references(4)
    assert "xengt share --to 0 --pages 4" in caught.value.remedy
    assert caught.value.exit_code == Exit.UNMET


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("guest:nobody", "name"),
        ("guest:9", "domid"),
        (f"guest:{UUID_1[:-1]}2", "UUID"),
        (f"guest:{UUID_1[:-1]}", "name"),
    ],
)
def test_an_unknown_guest_is_refused_with_those_there_are(store, spec, kind):
    with (
        pytest.raises(UnmetError, match=f"no running domain has the {kind}") as caught,
        GuestGranter(spec, store),
    ):
        pass
    assert "domain 1 (web), domain 4 (db)" in caught.value.remedy


def test_names_are_printed_with_escapes(store, daemon):
    daemon.nodes["/local/domain/4/name"] = b"db\n\x1b[2J\xff"
    with pytest.raises(UnmetError) as caught, GuestGranter("guest:nobody", store):
        pass
    assert r"domain 4 (db\x0a\x1b[2J\xff)" in caught.value.remedy
    with pytest.raises(UnmetError) as caught, GuestGranter("guest:4", store):
        pass
    assert caught.value.what == (
        r"domain 4 (db\x0a\x1b[2J\xff) has published no references for domain 0"
    )


def test_a_guest_that_publishes_nothing_is_told_how_to(store):
    with (
        pytest.raises(UnmetError, match=r"domain 4 \(db\) has published no references") as caught,
        GuestGranter("guest:db", store),
    ):
        pass
    assert "xengt share --to 0" in caught.value.remedy


def test_where_no_guest_publishes_the_running_ones_are_listed(store):
    publish(store, 0, pid=os.getpid())
    publish(store, 4, mapper=1)
    with (
        pytest.raises(UnmetError, match="no guest has published") as caught,
        GuestGranter("guest", store),
    ):
        pass
    assert "domain 1 (web), domain 4 (db)" in caught.value.remedy
    assert "Domain-0" not in caught.value.remedy


def test_of_several_one_has_to_be_named(store):
    publish(store, 1)
    publish(store, 4)
    with (
        pytest.raises(UnmetError, match=r"2 guests .*domain 1 \(web\), domain 4 \(db\)"),
        GuestGranter("guest", store),
    ):
        pass
    with GuestGranter("guest:db", store) as granter:
        assert granter.domid == 4


@pytest.mark.parametrize(
    ("change", "state"),
    [({"dying": True}, "dying"), ({"shutdown": True}, "shut down"), (None, "gone")],
)
def test_a_domain_on_its_way_out_is_refused(store, domains, change, state):
    publish(store, 1)
    if change:
        vars(domains[1]).update(change)
    else:
        del domains[1]
    with pytest.raises(UnmetError, match=f"domain 1 is {state}"), GuestGranter("guest", store):
        pass


@pytest.mark.parametrize(
    "failure",
    [
        MissingLibraryError("Xen's C libraries cannot be used"),
        XenLibraryError("xc_interface_open", "/dev/xen/privcmd", 13),
    ],
)
def test_without_libxenctrl_it_says_why(store, monkeypatch, failure):
    def refuse():
        raise failure

    publish(store, 1)
    monkeypatch.setattr(guest, "Ctrl", refuse)
    with pytest.raises(UnmetError, match="Xen"), GuestGranter("guest", store):
        pass


def test_what_a_killed_process_of_this_domain_left_is_not_used(store):
    publish(store, 0, pid=(1 << 22) + 1)
    with (
        pytest.raises(UnmetError, match=r"process 4194305, .* has ended"),
        GuestGranter("guest:0", store),
    ):
        pass


def test_there_are_no_references_outside_its_context(store):
    publish(store, 1)
    granter = GuestGranter("guest", store)
    with pytest.raises(RuntimeError):
        granter.references(1)
    with granter:
        pass
    with pytest.raises(RuntimeError):
        granter.references(1)
