"""Empty domains as a toolstack sees them: their names, and that they shut down at once."""

import logging
import time

import pytest

from tests.unit import stand_in
from tests.unit.waiting import wait_until
from tests.unit.xenstored import FakeXenstored
from xengt.bench.granters import toolstack
from xengt.bench.granters.toolstack import ToolstackAnswers
from xengt.recovery import domain_owner
from xengt.xen import xenstore_thread
from xenlib_cffi.ctrl_results import DomainInfo


class Xen(stand_in.Handle):
    """A hypervisor whose domains are UUIDs by domid."""

    def __init__(self):
        self.uuids = {0: bytes(16), 5: domain_owner.uuid(), 6: domain_owner.uuid(), 7: b"7" * 16}
        self.before_destroy = lambda _domid: None

    def domains(self):
        for domid, uuid in sorted(self.uuids.items()):
            yield DomainInfo(domid, False, False, True, False, 1, 0, uuid)

    def destroy(self, domid):
        self.before_destroy(domid)
        del self.uuids[domid]


@pytest.fixture
def xen(monkeypatch):
    made = Xen()
    monkeypatch.setattr(toolstack, "Ctrl", lambda: made)
    return made


@pytest.fixture
def socket_path(tmp_path, monkeypatch):
    monkeypatch.setattr("xengt.xen.xenstore.PATHS", (tmp_path / "socket",))
    monkeypatch.setattr(xenstore_thread, "RETRY_S", 0.05)
    return tmp_path / "socket"


@pytest.fixture
def daemon(socket_path):
    made = FakeXenstored(socket_path)
    made.nodes["/local/domain/7/name"] = b"web"
    yield made
    made.stop()


@pytest.fixture
def answers(xen):
    assert xen.uuids[5] == domain_owner.uuid()
    made = ToolstackAnswers([5, 6])
    yield made
    made.stop()


def named(daemon):
    found = {path: value for path, value in list(daemon.nodes.items()) if path.endswith("/name")}
    return {path.split("/")[3]: value.decode() for path, value in found.items()}


def request_shutdown(daemon, domid, kind):
    """As libxl__domain_pvcontrol() does."""
    path = f"/local/domain/{domid}/control/shutdown"
    daemon.write(path, kind)
    daemon.changed(path)


def test_domains_have_names_until_the_thread_is_stopped(daemon, answers):
    answers.start()
    assert wait_until(lambda: named(daemon) == {"5": "xengt-5", "6": "xengt-6", "7": "web"})
    answers.stop()
    assert wait_until(lambda: named(daemon) == {"7": "web"})
    assert not any(path.startswith("/local/domain/5") for path in daemon.nodes)


def test_the_nodes_of_many_domains_are_removed_before_the_thread_is_left_behind(daemon, xen):
    domids = range(100, 130)
    xen.uuids |= dict.fromkeys(domids, domain_owner.uuid())
    many = ToolstackAnswers(list(domids))
    many.start()
    assert wait_until(lambda: len(named(daemon)) == 31)
    daemon.before_request = lambda *_: time.sleep(0.02)
    many.stop()
    assert named(daemon) == {"7": "web"}


@pytest.mark.parametrize("kind", [b"poweroff", b"reboot", b"halt"])
def test_a_domain_is_destroyed_before_its_shutdown_is_acknowledged(
    daemon, answers, xen, kind, caplog
):
    caplog.set_level(logging.INFO)
    acknowledged = []
    xen.before_destroy = lambda domid: acknowledged.append(
        f"/local/domain/{domid}/control/shutdown" not in daemon.nodes
    )
    answers.start()
    assert wait_until(lambda: answers.up)
    request_shutdown(daemon, 5, kind)
    assert wait_until(lambda: "/local/domain/5/control/shutdown" not in daemon.nodes)
    assert acknowledged == [False]
    assert wait_until(lambda: named(daemon) == {"6": "xengt-6", "7": "web"})
    assert sorted(xen.uuids) == [0, 6, 7]
    assert "domain 5 of xengt is destroyed" in caplog.text


def test_other_requests_and_requests_to_other_domains_change_nothing(daemon, answers, xen):
    answers.start()
    assert wait_until(lambda: answers.up)
    request_shutdown(daemon, 5, b"suspend")
    request_shutdown(daemon, 7, b"poweroff")
    request_shutdown(daemon, 6, b"poweroff")  # handled after those
    assert wait_until(lambda: sorted(xen.uuids) == [0, 5, 7])
    assert named(daemon)["7"] == "web"


def test_a_domain_that_has_taken_over_the_domid_is_left_alone(daemon, answers, xen):
    answers.start()
    assert wait_until(lambda: answers.up)
    xen.uuids[5] = b"5" * 16
    daemon.nodes["/local/domain/5/name"] = b"db"
    request_shutdown(daemon, 5, b"poweroff")
    request_shutdown(daemon, 6, b"poweroff")
    assert wait_until(lambda: 6 not in xen.uuids)
    answers.stop()
    assert 5 in xen.uuids
    assert wait_until(lambda: named(daemon) == {"5": "db", "7": "web"})


def test_names_are_written_again_after_a_restart_of_xenstored(daemon, socket_path, answers, xen):
    answers.start()
    assert wait_until(lambda: answers.up)
    daemon.stop()
    assert wait_until(lambda: not answers.up)
    del xen.uuids[6]
    restarted = FakeXenstored(socket_path)
    try:
        assert wait_until(lambda: named(restarted) == {"5": "xengt-5"})
        request_shutdown(restarted, 5, b"poweroff")
        assert wait_until(lambda: 5 not in xen.uuids)
    finally:
        answers.stop()
        restarted.stop()


def test_without_xenstore_nothing_is_said_and_the_thread_ends(socket_path, answers, caplog):
    assert not socket_path.exists()
    answers.start()
    assert wait_until(answers.is_alive)
    answers.stop()
    assert wait_until(lambda: not answers.is_alive())
    assert [r for r in caplog.records if r.levelno > logging.DEBUG] == []
