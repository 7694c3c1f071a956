"""The agent in XenStore: it follows names by watches, and leaves its status."""

import logging
import time

import pytest

from tests.patience import patient
from tests.unit.waiting import waits_until
from tests.unit.xenstored import FakeXenstored
from xengt.serve import domain_names
from xengt.serve.domain_names import DomainNames

HOME = "/local/domain/0/data/xengt/serve"


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr("xengt.xen.xenstore.PATHS", (tmp_path / "socket",))
    monkeypatch.setattr(domain_names, "_DEADLINE_S", patient(0.5))
    monkeypatch.setattr(domain_names, "_TICK_S", 0.05)
    monkeypatch.setattr(domain_names, "_RETRY_S", 0.05)
    return tmp_path / "socket"


@pytest.fixture
def daemon(place):
    made = FakeXenstored(place)
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


def come(daemon, domid, name):
    daemon.nodes[f"/local/domain/{domid}/name"] = name
    daemon.changed("@introduceDomain")


def go(daemon, domid):
    del daemon.nodes[f"/local/domain/{domid}/name"]
    daemon.changed("@releaseDomain")


def figures(following):
    return {
        (family.name, *words): number
        for family in following.families()
        for words, number in zip(family.shape, family.numbers, strict=True)
    }


def test_names_come_change_and_go(daemon, following):
    following.start()
    assert waits_until(lambda: following.name_of(0) == "Domain-0")
    come(daemon, 7, "wéb".encode())
    assert waits_until(lambda: following.name_of(7) == "wéb")
    daemon.nodes["/local/domain/7/name"] = b"db"
    daemon.changed("/local/domain/7/name")
    assert waits_until(lambda: following.name_of(7) == "db")
    go(daemon, 7)
    assert waits_until(lambda: following.name_of(7) is None)
    assert figures(following) == {
        ("xengt_xenstore_up",): 1,
        ("xengt_domain_changes", "introduced"): 1,
        ("xengt_domain_changes", "released"): 1,
    }
    assert len([path for _, path, _ in daemon.watches if b"/7/" in path]) == 0


def test_a_domain_whose_domid_is_used_again_has_its_own_name(daemon, following):
    following.start()
    come(daemon, 7, b"first")
    assert waits_until(lambda: following.name_of(7) == "first")
    go(daemon, 7)
    assert waits_until(lambda: following.name_of(7) is None)
    come(daemon, 7, b"second")
    assert waits_until(lambda: following.name_of(7) == "second")


def test_the_status_is_written_kept_and_removed(daemon, following):
    daemon.nodes[f"{HOME}/left"] = b"of one that was killed"
    following.start()
    assert waits_until(lambda: daemon.nodes.get(f"{HOME}/state") == b"probing")
    assert waits_until(lambda: daemon.nodes.get(f"{HOME}/pid") == b"7")
    assert f"{HOME}/left" not in daemon.nodes
    following.status["state"] = "failing"
    assert waits_until(lambda: daemon.nodes[f"{HOME}/state"] == b"failing")
    following.stop()
    assert waits_until(lambda: not [path for path in list(daemon.nodes) if path.startswith(HOME)])


def test_a_daemon_that_was_restarted_is_told_all_anew(daemon, place, following, caplog):
    caplog.set_level(logging.INFO)
    following.start()
    assert waits_until(lambda: following.name_of(0) == "Domain-0")
    daemon.stop()
    assert waits_until(lambda: not following.up)
    assert following.name_of(0) == "Domain-0"  # the last that is known
    time.sleep(0.3)
    again = FakeXenstored(place)
    try:
        again.nodes["/local/domain/0/name"] = b"Domain-0"
        assert waits_until(lambda: again.nodes.get(f"{HOME}/state") == b"probing")
        come(again, 9, b"new")
        assert waits_until(lambda: following.name_of(9) == "new")
        following.stop()
        assert waits_until(lambda: f"{HOME}/state" not in again.nodes)
    finally:
        again.stop()
    # once, however often it was tried
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1


def test_where_there_is_no_xenstore_it_is_down(place, following, caplog):
    assert not place.exists()
    following.start()
    assert waits_until(lambda: "XenStore does not exist here" in caplog.text)
    assert figures(following)["xengt_xenstore_up",] == 0
    began = time.monotonic()
    following.stop()
    assert time.monotonic() - began < patient(2)
    assert not following.is_alive()


def test_a_daemon_that_does_not_answer_keeps_nobody_from_ending(daemon, following):
    following.start()
    assert waits_until(lambda: following.up)
    daemon.fault = "silent"
    began = time.monotonic()
    following.stop()
    assert time.monotonic() - began < patient(3)
