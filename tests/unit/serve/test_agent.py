"""The agent's threads: one that dies is started again."""

import threading

import pytest

from tests.unit.agent_fixtures import (
    counts,
    fake_probes,
    host_samples,
    run_agent,
    scrape,
    signals_blocked,
    xen,
)
from tests.unit.http_fixtures import request
from tests.unit.waiting import wait_until
from xengt.serve import service
from xengt.serve.domain_names import DomainNames
from xengt.serve.http.server import Server

__all__ = [  # fixtures
    "fake_probes",
    "host_samples",
    "run_agent",
    "signals_blocked",
    "xen",
]


class ThreadEnd(BaseException):
    """Ends a thread of the agent, which survives any Exception."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("name", ["xengt-xenstore", "xengt-probe", "xengt-http"])
def test_a_thread_that_dies_is_started_again_and_counts_continue(
    run_agent, fake_probes, monkeypatch, caplog, name
):
    dying = threading.Event()

    def die_once(*_):
        if dying.is_set():
            dying.clear()
            raise ThreadEnd

    def thread():
        return next((each for each in threading.enumerate() if each.name == name), None)

    fake_probes.before_mapping = die_once if name == "xengt-probe" else lambda _setup: None
    if name == "xengt-http":
        monkeypatch.setattr(Server, "service_actions", die_once)
    if name == "xengt-xenstore":
        real = DomainNames._write_status
        monkeypatch.setattr(
            DomainNames, "_write_status", lambda *arguments: (die_once(), real(*arguments))
        )
    monkeypatch.setattr(service, "_TICK_S", 0.1)
    address = run_agent("[probe]\nengines = ['hypercall']\ninterval_s = 0.05")
    assert wait_until(lambda: counts(address)["xengt_probe_rounds_total",] >= 2)
    before, first = counts(address), thread()
    dying.set()
    assert wait_until(lambda: thread() not in {None, first})
    assert f"the thread {name} has died" in caplog.text
    assert wait_until(lambda: "xengt_xenstore_up 1\n" in scrape(address))
    assert all(value >= before[key] for key, value in counts(address).items())
    failures = 1 if name == "xengt-probe" else 0
    assert counts(address)["xengt_probe_errors_total", ("status", "none")] == failures
    assert request(address, "/-/ready").status == 200


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_without_its_thread_xenstore_is_not_up(run_agent, monkeypatch):
    def die(*_):
        raise ThreadEnd

    monkeypatch.setattr(service, "_TICK_S", 60)
    address = run_agent("[probe]\nenabled = false")
    assert wait_until(lambda: "xengt_xenstore_up 1\n" in scrape(address))
    monkeypatch.setattr(DomainNames, "_write_status", die)
    assert wait_until(lambda: "xengt_xenstore_up 0\n" in scrape(address))
    answer = request(address, "/-/ready")
    assert (answer.status, answer.text) == (503, "the thread xengt-xenstore does not run\n")
