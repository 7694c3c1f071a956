"""XenStore through pyxs: what it says, and every way a daemon can fail to."""

import errno
import fcntl
import os
import resource
import threading
import time
from contextlib import suppress

import pytest
import pyxs
from pyxs._internal import Op, Packet

from tests.patience import patient
from tests.unit.xenstored import FakeXenstored
from xengt.errors import Exit, FailedError, UnmetError
from xengt.xen.pyxs_client import Router
from xengt.xen.xenstore import Events, XenStore


@pytest.fixture
def daemon(tmp_path):
    daemon = FakeXenstored(tmp_path / "socket")
    yield daemon
    daemon.stop()


@pytest.fixture
def store(daemon):
    with XenStore(daemon.path, deadline_s=patient(0.5)) as store:
        yield store


def test_reads_what_was_written(store):
    store.write("/local/domain/7/data/a", "8-263,300")
    assert store.read("/local/domain/7/data/a") == "8-263,300"
    assert store.read("/local/domain/7/data") == ""
    assert store.exists("/local/domain/7/data")
    assert store.children("/local/domain/7") == ["data"]


def test_what_is_absent_is_none_or_empty(store):
    assert store.read("/local/domain/7/name") is None
    assert store.children("/local/domain/7") == []
    assert not store.exists("/local/domain/7")
    store.remove("/local/domain/7/name")


def test_removes_a_node_with_all_below_it(store):
    store.write("/local/domain/7/data/a/b", "1")
    store.remove("/local/domain/7/data")
    assert not store.exists("/local/domain/7/data/a/b")
    assert store.exists("/local/domain/7")


@pytest.mark.parametrize("value", ["", "Zürich, 東京", "two\nlines", "tab\there"])
def test_values_are_any_text(store, value):
    store.write("/local/domain/7/data/a", value)
    assert store.read("/local/domain/7/data/a") == value


def test_bytes_that_are_no_utf8_still_read(store, daemon):
    daemon.nodes["/local/domain/7/name"] = b"\xff\xfe"
    assert store.read("/local/domain/7/name") == "\ufffd\ufffd"


def test_finds_domains_by_name_and_by_domid(store):
    for domid, name in ((0, "Domain-0"), (12, "wéb"), (3, "db")):
        store.write(f"/local/domain/{domid}/name", name)
    assert store.domids() == [0, 3, 12]
    assert store.domid_of("wéb") == 12
    assert store.domid_of("none") is None
    assert store.name_of(3) == "db"
    assert store.name_of(4) is None


def test_own_domid_is_the_one_xenstore_names(tmp_path):
    daemon = FakeXenstored(tmp_path / "socket", domid=9)
    with XenStore(daemon.path) as store:
        assert store.own_domid() == 9
    daemon.nodes["/local/domain/9/domid"] = b"nine"
    with (
        XenStore(daemon.path) as store,
        pytest.raises(UnmetError, match="does not report the domid"),
    ):
        store.own_domid()
    daemon.stop()


@pytest.mark.parametrize("fault", ["silent", "half"])
def test_a_daemon_that_never_answers_meets_the_deadline(daemon, fault):
    with XenStore(daemon.path, deadline_s=0.5) as store:
        daemon.fault = fault
        begin = time.monotonic()
        with pytest.raises(UnmetError) as caught:
            store.read("/x/y")
        assert time.monotonic() - begin < patient(2.5)
    assert caught.value.what == "XenStore does not answer (read /x/y after 0.5 s)"
    assert "xenstored" in caught.value.remedy
    assert caught.value.exit_code == Exit.UNMET


@pytest.mark.parametrize("fault", ["hangup", "stray"])
def test_a_daemon_that_breaks_off_is_told_before_the_deadline(daemon, fault):
    daemon.fault = fault
    begin = time.monotonic()
    with XenStore(daemon.path, deadline_s=30) as store, pytest.raises(UnmetError, match="answer"):
        store.read("/x/y")
    assert time.monotonic() - begin < patient(5)
    assert daemon.connections == 2


@pytest.mark.parametrize("fault", ["hangup", "stray"])
def test_a_lost_connection_is_made_again(store, daemon, fault):
    store.write("/x/y", "1")
    daemon.fault, daemon.faults = fault, 1
    assert store.read("/x/y") == "1"
    assert daemon.connections == 2


def test_a_daemon_that_comes_back_is_used_again(store, daemon):
    store.write("/x/y", "1")
    daemon.fault = "silent"
    with pytest.raises(FailedError) as caught:
        store.read("/x/y")
    assert caught.value.exit_code == Exit.FAILED
    daemon.fault = None
    assert store.read("/x/y") == "1"
    # a late answer to what was given up would come over the old one
    assert daemon.connections == 2


def test_no_thread_dies_aloud(store, daemon, capfd):
    daemon.fault = "hangup"
    with pytest.raises(UnmetError):
        store.read("/x/y")
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and "accept" not in thread.name:
            thread.join(timeout=0.2)
    assert capfd.readouterr().err == ""


def test_a_daemon_that_is_gone_refuses_the_connection(store, daemon):
    daemon.stop()
    daemon.path.touch()
    with pytest.raises(UnmetError, match=r"does not answer .*read /x/y"):
        store.read("/x/y")


# watches


def told(events):
    return events.get(timeout=patient(10))


def test_a_watch_tells_at_once_and_of_every_change_below(store, daemon):
    events = Events()
    store.watch("/local/domain", events)
    store.watch("@releaseDomain", events)
    assert [told(events), told(events)] == ["/local/domain", "@releaseDomain"]
    store.write("/local/domain/7/name", "wéb")
    assert told(events) == "/local/domain/7/name"
    daemon.changed("@releaseDomain")
    assert told(events) == "@releaseDomain"
    store.unwatch("/local/domain")
    store.write("/local/domain/7/name", "x")
    daemon.changed("@releaseDomain")
    assert told(events) == "@releaseDomain"


@pytest.mark.parametrize("how", ["stop", "hangup", "stray", "silent", "odd"])
def test_who_watches_is_told_that_the_connection_is_lost(store, daemon, how):
    events = Events()
    store.watch("/x", events)
    assert told(events) == "/x"
    if how == "stop":
        daemon.stop()
    elif how == "odd":  # a watch's event of three words, where two are all there are
        daemon.event(daemon.open[0], b"/x", b"/x", b"/x")
    else:
        daemon.fault, daemon.faults = how, 1
        with suppress(FailedError):
            store.read("/x")
    assert told(events) is None


class Closing:
    """A connection whose reader closes it just when a request is to be sent."""

    transport = None
    is_connected = False

    def send(self, packet):
        self.transport.send(packet)


def test_a_connection_that_is_closed_while_it_is_written_to_is_lost():
    router = Router(Closing())
    with pytest.raises(pyxs.PyXSError) as lost:
        router.send(Packet(Op.READ, b"/x\0", 1))
    assert lost.value.args[0] == errno.ECONNRESET
    # Nothing else of that kind is hidden.
    router.connection.is_connected = True
    with pytest.raises(AttributeError):
        router.send(Packet(Op.READ, b"/x\0", 2))


def test_where_there_is_no_xenstore_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("xengt.xen.xenstore.PATHS", (tmp_path / "none",))
    with pytest.raises(UnmetError, match="XenStore does not exist here"):
        XenStore().read("/x/y")
    with pytest.raises(UnmetError, match="does not exist"):
        XenStore(tmp_path / "none").read("/x/y")


def test_takes_the_first_place_there_is(daemon, tmp_path, monkeypatch):
    monkeypatch.setattr("xengt.xen.xenstore.PATHS", (tmp_path / "none", daemon.path))
    with XenStore() as store:
        assert store.own_domid() == 0


def test_a_refusal_names_the_node_and_the_reason(store, daemon):
    daemon.forbidden = ("/local/domain/0",)
    with pytest.raises(
        UnmetError, match="refuses to write /local/domain/0/x: Permission"
    ) as caught:
        store.write("/local/domain/0/x", "1")
    assert "root" in caught.value.remedy


def test_a_descriptor_select_cannot_take_is_refused(store):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    first = os.open("/dev/null", os.O_RDONLY)
    taken = [first]
    try:
        while taken[-1] < 1024:
            taken.append(fcntl.fcntl(first, fcntl.F_DUPFD, 0))
        with pytest.raises(UnmetError, match="1024 or more files open"):
            store.read("/x/y")
    finally:
        for each in taken:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert store.read("/x/y") is None
