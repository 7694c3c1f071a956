"""The agent and XenStore: names followed by watches, and the published status."""

import logging
import threading
import time

import pytest

from tests.patience import patient
from tests.unit.waiting import wait_until
from tests.unit.xenstored import FakeXenstored
from xengt.serve import domain_names
from xengt.serve.domain_names import DomainNames
from xengt.xen import pyxs_client, xenstore_thread

STATUS = "/local/domain/0/data/xengt/serve"


@pytest.fixture
def socket_path(tmp_path, monkeypatch):
    monkeypatch.setattr("xengt.xen.xenstore.PATHS", (tmp_path / "socket",))
    monkeypatch.setattr(xenstore_thread, "DEADLINE_S", patient(0.5))
    monkeypatch.setattr(xenstore_thread, "RETRY_S", 0.05)
    monkeypatch.setattr(domain_names, "_TICK_S", 0.05)
    return tmp_path / "socket"


@pytest.fixture
def daemon(socket_path):
    made = FakeXenstored(socket_path)
    made.nodes["/local/domain/0/name"] = b"Domain-0"
    yield made
    made.stop()


@pytest.fixture
def following():
    status = {"state": "probing", "pid": "7"}
    made = DomainNames(lambda: dict(status))
    made.status = status
    yield made
    made.stop()


def introduce(daemon, domid, name):
    daemon.nodes[f"/local/domain/{domid}/name"] = name
    daemon.changed("@introduceDomain")


def release(daemon, domid):
    del daemon.nodes[f"/local/domain/{domid}/name"]
    daemon.changed("@releaseDomain")


def samples_of(following):
    return {
        (family.name, *label_values): number
        for family in following.families()
        for label_values, number in zip(family.label_values, family.numbers, strict=True)
    }


def test_names_appear_change_and_disappear(daemon, following):
    following.start()
    assert wait_until(lambda: following.name_of(0) == "Domain-0")
    introduce(daemon, 7, "wéb".encode())
    assert wait_until(lambda: following.name_of(7) == "wéb")
    daemon.nodes["/local/domain/7/name"] = b"db"
    daemon.changed("/local/domain/7/name")
    assert wait_until(lambda: following.name_of(7) == "db")
    release(daemon, 7)
    assert wait_until(lambda: following.name_of(7) is None)
    assert samples_of(following) == {
        ("xengt_xenstore_up",): 1,
        ("xengt_domain_changes_total", "introduced"): 1,
        ("xengt_domain_changes_total", "released"): 1,
    }
    assert len([path for _, path, _ in daemon.watches if b"/7/" in path]) == 0


def test_a_label_has_the_name_with_escapes(daemon, following):
    daemon.nodes["/local/domain/7/name"] = b"w\x1b[2J\n\xff" + '\u202e"'.encode()
    following.start()
    assert wait_until(lambda: following.name_of(7) == 'w\\x1b[2J\\x0a\\xff\\u202e"')


def test_a_reused_domid_has_the_name_of_the_new_domain(daemon, following):
    following.start()
    introduce(daemon, 7, b"first")
    assert wait_until(lambda: following.name_of(7) == "first")
    release(daemon, 7)
    assert wait_until(lambda: following.name_of(7) is None)
    introduce(daemon, 7, b"second")
    assert wait_until(lambda: following.name_of(7) == "second")


def test_the_status_is_written_updated_and_removed(daemon, following):
    daemon.nodes[f"{STATUS}/stale"] = b"of an agent that was killed"
    following.start()
    assert wait_until(lambda: daemon.nodes.get(f"{STATUS}/state") == b"probing")
    assert wait_until(lambda: daemon.nodes.get(f"{STATUS}/pid") == b"7")
    assert f"{STATUS}/stale" not in daemon.nodes
    following.status["state"] = "failing"
    assert wait_until(lambda: daemon.nodes[f"{STATUS}/state"] == b"failing")
    following.stop()
    assert wait_until(lambda: not [path for path in list(daemon.nodes) if path.startswith(STATUS)])


def test_after_a_restart_of_xenstored_watches_and_status_are_set_again(
    daemon, socket_path, following, caplog
):
    caplog.set_level(logging.INFO)
    following.start()
    assert wait_until(lambda: following.name_of(0) == "Domain-0")
    daemon.stop()
    assert wait_until(lambda: not following.up)
    assert following.name_of(0) == "Domain-0"  # the last known name
    time.sleep(0.3)
    restarted = FakeXenstored(socket_path)
    try:
        restarted.nodes["/local/domain/0/name"] = b"Domain-0"
        assert wait_until(lambda: restarted.nodes.get(f"{STATUS}/state") == b"probing")
        introduce(restarted, 9, b"new")
        assert wait_until(lambda: following.name_of(9) == "new")
        following.stop()
        assert wait_until(lambda: f"{STATUS}/state" not in restarted.nodes)
    finally:
        restarted.stop()
    # one warning for several attempts to connect
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1


def test_without_xenstore_the_metric_is_0(socket_path, following, caplog):
    assert not socket_path.exists()
    following.start()
    assert wait_until(lambda: "XenStore does not exist here" in caplog.text)
    assert samples_of(following)["xengt_xenstore_up",] == 0
    began = time.monotonic()
    following.stop()
    assert time.monotonic() - began < patient(2)
    assert not following.is_alive()


def test_the_agent_stops_even_if_xenstored_does_not_answer(daemon, following):
    following.start()
    assert wait_until(lambda: following.up)
    daemon.fault = "silent"
    began = time.monotonic()
    following.stop()
    assert time.monotonic() - began < patient(3)


def test_names_appear_as_soon_as_xenstored_is_up(socket_path, following):
    following.start()
    time.sleep(0.3)
    assert (following.up, following.name_of(0)) == (False, None)
    late = FakeXenstored(socket_path)
    try:
        late.nodes["/local/domain/0/name"] = b"Domain-0"
        late.nodes["/local/domain/7/name"] = b"web"
        assert wait_until(
            lambda: (following.name_of(0), following.name_of(7)) == ("Domain-0", "web")
        )
        assert following.up
    finally:
        following.stop()
        late.stop()


@pytest.mark.parametrize("kind", ["xenstored", "oxenstored"])
def test_two_thousand_domains_have_names(daemon, following, kind):
    daemon.kind = kind
    daemon.nodes |= {f"/local/domain/{domid}/name": b"guest" for domid in range(10_000, 12_000)}
    following.start()
    assert wait_until(lambda: following.name_of(11_999) == "guest", 60)
    assert following.up
    assert daemon.connections == 1


def test_domains_of_xengt_are_not_counted_and_not_watched(daemon, following):
    following.start()
    assert wait_until(lambda: following.name_of(0) == "Domain-0")
    introduce(daemon, 5, b"xengt-5")
    introduce(daemon, 6, b"xengt-5")  # the name of another domain's
    assert wait_until(lambda: following.name_of(6) == "xengt-5")
    release(daemon, 5)
    introduce(daemon, 5, b"web")  # the domid is used again
    assert wait_until(lambda: following.name_of(5) == "web")
    assert samples_of(following)["xengt_domain_changes_total", "introduced"] == 2
    assert samples_of(following)["xengt_domain_changes_total", "released"] == 0


def test_a_limit_on_threads_does_not_end_this_one(daemon, following, monkeypatch, caplog):
    following.start()
    assert wait_until(lambda: following.name_of(0) == "Domain-0")

    class Failing(threading.Thread):
        def start(self):
            raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(pyxs_client.threading, "Thread", Failing)
        daemon.changed("@introduceDomain")
        assert wait_until(lambda: not following.up)
        assert samples_of(following)["xengt_xenstore_up",] == 0
    introduce(daemon, 7, b"web")
    assert wait_until(lambda: following.up and following.name_of(7) == "web")
    (warning,) = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert "this process can start no further thread" in warning


@pytest.mark.usefixtures("daemon")
def test_a_defect_in_the_thread_is_logged_with_its_traceback(following, caplog):
    fail = [True]

    def status():
        if fail:
            raise KeyError("state")
        return {"state": "probing"}

    following._status = status
    following.start()
    assert wait_until(lambda: "going to try again: KeyError('state')" in caplog.text)
    assert "Traceback" in caplog.text
    assert not following.up
    fail.clear()
    assert wait_until(lambda: following.up)
