"""Passive latency for as long as the agent has it, and what others left."""

import threading

import pytest

from tests.unit.told import collected
from tests.unit.tracing import kernel, undoing
from tests.unit.waiting import waits_until
from xengt.check import recovery
from xengt.errors import FailedError
from xengt.recovery.lock import file_lock
from xengt.serve.config import PassiveOptions
from xengt.serve.passive import guard, kernel_metrics, tracefs
from xengt.serve.passive.kernel_histogram import entries
from xengt.serve.passive.kernel_metrics import collecting

__all__ = ["kernel", "undoing"]  # fixtures

ON = PassiveOptions(enabled=True)


def test_it_lasts_as_long_as_it_is_collected(kernel, undoing):
    sources = []
    with collecting(ON, sources.append):
        assert collected(*sources)["xengt_passive_up",] == 1
        assert len(kernel.lines()) == 8
    assert kernel.clean()
    assert collected(*sources) == {("xengt_passive_up",): 0}
    assert not undoing.exists()


def test_it_is_off_unless_asked_for(kernel):
    sources = []
    with collecting(PassiveOptions(), sources.append):
        assert collected(*sources) == {}
    assert kernel.said == []


def test_an_exception_ends_it_as_well(kernel, undoing):
    with pytest.raises(ZeroDivisionError), collecting(ON, [].append):
        raise ZeroDivisionError
    assert kernel.clean()
    assert not undoing.exists()


def test_what_the_kernel_refuses_does_not_end_the_service(kernel, undoing, caplog):
    kernel.refuses = "gnttab_unmap_refs "
    sources = []
    with collecting(ON, sources.append):
        assert collected(*sources) == {("xengt_passive_up",): 0}
    assert "no passive latencies: the kernel refuses" in caplog.text
    assert kernel.clean()
    assert not undoing.exists()


@pytest.mark.parametrize("enabled", [True, False])
def test_what_a_dead_agent_left_is_taken_back(kernel, undoing, enabled):
    tracefs.begin()
    sources = []
    with collecting(PassiveOptions(enabled), sources.append):
        assert collected(*sources).get(("xengt_passive_up",)) == (1 if enabled else None)
        assert bool(tracefs.leftover_instances()) == enabled
    assert kernel.clean()
    assert not undoing.exists()


@pytest.mark.parametrize("enabled", [True, False])
def test_what_a_live_agent_has_is_left_alone(kernel, monkeypatch, caplog, enabled):
    tracefs.begin()
    monkeypatch.setattr(guard, "_PATIENCE_S", 0.1)
    sources = []
    with file_lock(guard.LOCK, timeout_s=0, busy="mine"):
        before = list(kernel.said)
        with collecting(PassiveOptions(enabled), sources.append):
            assert collected(*sources) == ({("xengt_passive_up",): 0} if enabled else {})
        assert guard.abandoned() == []
        guard.main()
        assert kernel.said == before
    assert ("another agent traces" in caplog.text) == enabled
    assert guard.abandoned() == tracefs.leftover_instances() != []
    guard.main()
    assert kernel.clean()


def test_what_cannot_be_taken_back_the_guard_tries_again(kernel, undoing):
    with pytest.raises(FailedError), collecting(ON, [].append):
        kernel.refuses = "-:"
    assert waits_until(undoing.exists)
    assert undoing.read_text() == "-P -m xengt.serve.passive.guard\n"


def test_check_tells_of_it(kernel):
    tracefs.begin()
    check = recovery.traced(guard.abandoned())
    assert check.state == "warning"
    assert "instances/xengt" in check.what
    tracefs.undo()
    assert kernel.clean()


def test_a_scrape_meanwhile_is_waited_for(kernel, undoing, monkeypatch):
    sources, entered, goes_on = [], threading.Event(), threading.Event()

    def reads(text):
        entered.set()
        goes_on.wait(10)
        assert kernel.instance.exists()
        return entries(text)

    monkeypatch.setattr(kernel_metrics, "entries", reads)
    scraped = []
    thread = threading.Thread(target=lambda: scraped.append(collected(*sources)))
    with collecting(ON, sources.append):
        thread.start()
        assert entered.wait(10)
        threading.Timer(0.2, goes_on.set).start()
    thread.join(10)
    assert scraped[0]["xengt_passive_up",] == 1
    assert kernel.clean()
    assert not undoing.exists()
