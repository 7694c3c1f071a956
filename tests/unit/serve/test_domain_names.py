"""The agent and XenStore: names followed by watches, and the published status."""

import logging
import time

import pytest

from tests.patience import patient
from tests.unit.waiting import wait_until
from tests.unit.xenstored import FakeXenstored
from xengt.serve import domain_names
from xengt.serve.domain_names import DomainNames

STATUS = "/local/domain/0/data/xengt/serve"


@pytest.fixture
def socket_path(tmp_path, monkeypatch):
    monkeypatch.setattr("xengt.xen.xenstore.PATHS", (tmp_path / "socket",))
    monkeypatch.setattr(domain_names, "_DEADLINE_S", patient(0.5))
    monkeypatch.setattr(domain_names, "_TICK_S", 0.05)
    monkeypatch.setattr(domain_names, "_RETRY_S", 0.05)
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
