"""XenStore through pyxs: its answers, and the ways in which a daemon can fail to answer."""

import errno
import fcntl
import os
import resource
import socket
import threading
import time
from contextlib import suppress

import pytest
import pyxs
from pyxs._internal import Op, Packet

from tests.patience import patient
from tests.unit.xenstored import DIRECTORY_PART, FakeXenstored
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


def test_a_written_value_is_read_back(store):
    store.write("/local/domain/7/data/a", "8-263,300")
    assert store.read("/local/domain/7/data/a") == "8-263,300"
    assert store.read("/local/domain/7/data") == ""
    assert store.exists("/local/domain/7/data")
    assert store.children("/local/domain/7") == ["data"]


def test_a_missing_node_reads_as_none_and_has_no_children(store):
    assert store.read("/local/domain/7/name") is None
    assert store.children("/local/domain/7") == []
    assert not store.exists("/local/domain/7")
    store.remove("/local/domain/7/name")


def test_removing_a_node_removes_its_children(store):
    store.write("/local/domain/7/data/a/b", "1")
    store.remove("/local/domain/7/data")
    assert not store.exists("/local/domain/7/data/a/b")
    assert store.exists("/local/domain/7")


@pytest.mark.parametrize("value", ["", "Zürich, 東京", "two\nlines", "tab\there"])
def test_values_can_be_any_text(store, value):
    store.write("/local/domain/7/data/a", value)
    assert store.read("/local/domain/7/data/a") == value


def have_domains(daemon, count):
    """Give the daemon domains with five-digit domids and no other nodes."""
    domids = list(range(30_000, 30_000 + count))
    daemon.nodes |= {f"/local/domain/{domid}/name": b"guest" for domid in domids}
    return [0, *domids]


@pytest.mark.parametrize("count", [681, 682, 683, 2_000])
@pytest.mark.parametrize("kind", ["xenstored", "oxenstored"])
def test_a_directory_of_any_size_is_listed(store, daemon, kind, count):
    daemon.kind = kind
    domids = have_domains(daemon, count)
    assert store.domids() == domids
    assert store.name_of(domids[-1]) == "guest"
    assert daemon.connections == 1


def test_a_directory_that_changes_between_two_parts_is_listed_from_its_beginning(store, daemon):
    domids = have_domains(daemon, 2_000)
    requests = []

    def change(operation, _path):
        if operation == DIRECTORY_PART:
            requests.append(operation)
            if len(requests) == 2:
                del daemon.nodes[f"/local/domain/{domids[1]}/name"]

    daemon.before_request = change
    assert store.domids() == [0, *domids[2:]]
    assert len(requests) > 3


def test_without_parts_a_large_directory_is_an_error_that_names_the_cause(store, daemon):
    daemon.kind = "old"
    have_domains(daemon, 700)
    with pytest.raises(UnmetError, match="refuses to list /local/domain: ") as caught:
        store.children("/local/domain")
    assert "more children than fit into one answer" in caught.value.remedy
    assert store.name_of(30_000) == "guest"
    assert daemon.connections == 1


def test_a_value_that_is_not_utf8_is_read_with_replacement_characters(store, daemon):
    daemon.nodes["/local/domain/7/data/a"] = b"\xff\xfe"
    assert store.read("/local/domain/7/data/a") == "\ufffd\ufffd"


def test_domains_are_found_by_name_and_by_domid(store):
    for domid, name in ((0, "Domain-0"), (12, "wéb"), (3, "db")):
        store.write(f"/local/domain/{domid}/name", name)
    assert store.domids() == [0, 3, 12]
    assert store.domid_of("wéb") == 12
    assert store.domid_of("none") is None
    assert store.name_of(3) == "db"
    assert store.name_of(4) is None


def test_own_domid_is_read_from_xenstore(tmp_path):
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
def test_a_daemon_that_never_answers_is_an_error_at_the_deadline(daemon, fault):
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
def test_a_closed_connection_is_an_error_before_the_deadline(daemon, fault):
    daemon.fault = fault
    begin = time.monotonic()
    with XenStore(daemon.path, deadline_s=30) as store, pytest.raises(UnmetError, match="answer"):
        store.read("/x/y")
    assert time.monotonic() - begin < patient(5)
    assert daemon.connections == 2


@pytest.mark.parametrize("fault", ["hangup", "stray"])
def test_a_lost_connection_is_reestablished(store, daemon, fault):
    store.write("/x/y", "1")
    daemon.fault, daemon.faults = fault, 1
    assert store.read("/x/y") == "1"
    assert daemon.connections == 2


def test_a_connection_that_a_failed_request_has_closed_leaves_no_thread(store, monkeypatch):
    """Its reader waits for another file, which has got the descriptor of the closed one."""
    events = Events()
    store.watch("/local/domain/7", events)
    assert events.get(timeout=patient(5)) == "/local/domain/7"
    router = store._client.router
    other, peer = socket.socketpair()
    monkeypatch.setattr(router.connection, "fileno", other.fileno)
    assert store.read("/local/domain/7/name") is None  # then the reader waits for the other file
    router.connection.close()
    assert store.read("/local/domain/7/name") is None
    assert events.get(timeout=patient(2)) is None
    router.thread.join(patient(2))
    assert not router.thread.is_alive()
    other.close()
    peer.close()


def test_a_daemon_that_answers_again_is_used_again(store, daemon):
    store.write("/x/y", "1")
    daemon.fault = "silent"
    with pytest.raises(FailedError) as caught:
        store.read("/x/y")
    assert caught.value.exit_code == Exit.FAILED
    daemon.fault = None
    assert store.read("/x/y") == "1"
    # A late answer to the abandoned request would arrive on the old connection.
    assert daemon.connections == 2


def test_no_thread_prints_a_traceback_when_a_connection_is_lost(store, daemon, capfd):
    daemon.fault = "hangup"
    with pytest.raises(UnmetError):
        store.read("/x/y")
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and "accept" not in thread.name:
            thread.join(timeout=0.2)
    assert capfd.readouterr().err == ""


def test_a_connection_refused_by_a_stopped_daemon_is_an_error(store, daemon):
    daemon.stop()
    daemon.path.touch()
    with pytest.raises(UnmetError, match=r"does not answer .*read /x/y"):
        store.read("/x/y")


# watches


def next_event(events):
    return events.get(timeout=patient(10))


def test_a_watch_reports_immediately_and_at_every_change_below(store, daemon):
    events = Events()
    store.watch("/local/domain", events)
    store.watch("@releaseDomain", events)
    assert [next_event(events), next_event(events)] == ["/local/domain", "@releaseDomain"]
    store.write("/local/domain/7/name", "wéb")
    assert next_event(events) == "/local/domain/7/name"
    daemon.changed("@releaseDomain")
    assert next_event(events) == "@releaseDomain"
    store.unwatch("/local/domain")
    store.write("/local/domain/7/name", "x")
    daemon.changed("@releaseDomain")
    assert next_event(events) == "@releaseDomain"


@pytest.mark.parametrize("ending", ["stop", "hangup", "stray", "silent", "odd"])
def test_a_watch_reports_that_its_connection_is_lost(store, daemon, ending):
    events = Events()
    store.watch("/x", events)
    assert next_event(events) == "/x"
    if ending == "stop":
        daemon.stop()
    elif ending == "odd":  # a watch event of three words, where the protocol has two
        daemon.event(daemon.open[0], b"/x", b"/x", b"/x")
    else:
        daemon.fault, daemon.faults = ending, 1
        with suppress(FailedError):
            store.read("/x")
    assert next_event(events) is None


class Closing:
    """A connection that its reader closes just when a request is sent."""

    transport = None
    is_connected = False

    def send(self, packet):
        self.transport.send(packet)


def test_a_connection_closed_during_a_send_is_reported_as_lost():
    router = Router(Closing())
    with pytest.raises(pyxs.PyXSError) as lost:
        router.send(Packet(Op.READ, b"/x\0", 1))
    assert lost.value.args[0] == errno.ECONNRESET
    # An AttributeError with another cause is not hidden.
    router.connection.is_connected = True
    with pytest.raises(AttributeError):
        router.send(Packet(Op.READ, b"/x\0", 2))


def test_a_missing_xenstore_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr("xengt.xen.xenstore.PATHS", (tmp_path / "none",))
    with pytest.raises(UnmetError, match="XenStore does not exist here"):
        XenStore().read("/x/y")
    with pytest.raises(UnmetError, match="does not exist"):
        XenStore(tmp_path / "none").read("/x/y")


def test_the_first_existing_path_is_used(daemon, tmp_path, monkeypatch):
    monkeypatch.setattr("xengt.xen.xenstore.PATHS", (tmp_path / "none", daemon.path))
    with XenStore() as store:
        assert store.own_domid() == 0


def test_an_error_of_the_daemon_names_the_node_and_the_reason(store, daemon):
    daemon.forbidden = ("/local/domain/0",)
    with pytest.raises(
        UnmetError, match="refuses to write /local/domain/0/x: Permission"
    ) as caught:
        store.write("/local/domain/0/x", "1")
    assert "root" in caught.value.remedy


def test_a_file_descriptor_beyond_the_limit_of_select_is_an_error(store):
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
