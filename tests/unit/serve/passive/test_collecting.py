"""Trace objects exist while passive latencies are enabled, and killed agents' are removed."""

import threading

import pytest

from tests.unit.exposition import samples_of
from tests.unit.fake_tracefs import fake_tracefs, guard_output
from tests.unit.waiting import wait_until
from xengt.check import recovery
from xengt.errors import FailedError
from xengt.recovery.lock import file_lock
from xengt.serve.config import PassiveOptions
from xengt.serve.passive import guard, kernel_metrics, tracefs
from xengt.serve.passive.kernel_histogram import entries
from xengt.serve.passive.kernel_metrics import collecting

__all__ = ["fake_tracefs", "guard_output"]  # fixtures

ENABLED = PassiveOptions(enabled=True)


def test_trace_objects_exist_while_the_context_lasts(fake_tracefs, guard_output):
    sources = []
    with collecting(ENABLED, sources.append):
        assert samples_of(*sources)["xengt_passive_up",] == 1
        assert len(fake_tracefs.triggers()) == 8
    assert fake_tracefs.is_clean()
    assert samples_of(*sources) == {("xengt_passive_up",): 0}
    assert not guard_output.exists()


def test_passive_latencies_are_off_by_default(fake_tracefs):
    sources = []
    with collecting(PassiveOptions(), sources.append):
        assert samples_of(*sources) == {}
    assert fake_tracefs.writes == []


def test_an_exception_removes_the_trace_objects(fake_tracefs, guard_output):
    with pytest.raises(ZeroDivisionError), collecting(ENABLED, [].append):
        raise ZeroDivisionError
    assert fake_tracefs.is_clean()
    assert not guard_output.exists()


def test_a_trace_object_that_the_kernel_rejects_is_not_fatal(fake_tracefs, guard_output, caplog):
    fake_tracefs.rejects = "gnttab_unmap_refs "
    sources = []
    with collecting(ENABLED, sources.append):
        assert samples_of(*sources) == {("xengt_passive_up",): 0}
    assert "passive latencies are not available: the kernel rejects" in caplog.text
    assert fake_tracefs.is_clean()
    assert not guard_output.exists()


@pytest.mark.parametrize("enabled", [True, False])
def test_trace_objects_of_a_dead_agent_are_removed(fake_tracefs, guard_output, enabled):
    tracefs.install()
    sources = []
    with collecting(PassiveOptions(enabled), sources.append):
        assert samples_of(*sources).get(("xengt_passive_up",)) == (1 if enabled else None)
        assert bool(tracefs.trace_objects()) == enabled
    assert fake_tracefs.is_clean()
    assert not guard_output.exists()


@pytest.mark.parametrize("enabled", [True, False])
def test_trace_objects_of_a_live_agent_are_not_removed(fake_tracefs, monkeypatch, caplog, enabled):
    tracefs.install()
    monkeypatch.setattr(guard, "_LOCK_TIMEOUT_S", 0.1)
    sources = []
    with file_lock(guard.LOCK, timeout_s=0, busy="mine"):
        before = list(fake_tracefs.writes)
        with collecting(PassiveOptions(enabled), sources.append):
            assert samples_of(*sources) == ({("xengt_passive_up",): 0} if enabled else {})
        assert guard.abandoned_trace_objects() == []
        guard.main()
        assert fake_tracefs.writes == before
    assert ("another agent traces" in caplog.text) == enabled
    assert guard.abandoned_trace_objects() == tracefs.trace_objects() != []
    guard.main()
    assert fake_tracefs.is_clean()


def test_the_guard_tries_to_remove_what_the_agent_could_not(fake_tracefs, guard_output):
    with pytest.raises(FailedError), collecting(ENABLED, [].append):
        fake_tracefs.rejects = "-:"
    assert wait_until(guard_output.exists)
    assert guard_output.read_text() == "-P -m xengt.serve.passive.guard\n"


def test_check_warns_of_trace_objects_of_a_dead_agent(fake_tracefs):
    tracefs.install()
    check = recovery.agent_leftovers(guard.abandoned_trace_objects())
    assert check.state == "warning"
    assert "instances/xengt" in check.what
    tracefs.remove()
    assert fake_tracefs.is_clean()


def test_a_scrape_that_is_reading_is_waited_for(fake_tracefs, guard_output, monkeypatch):
    sources, entered, proceed = [], threading.Event(), threading.Event()

    def slow_entries(text):
        entered.set()
        proceed.wait(10)
        assert fake_tracefs.instance.exists()
        return entries(text)

    monkeypatch.setattr(kernel_metrics, "entries", slow_entries)
    scrapes = []
    thread = threading.Thread(target=lambda: scrapes.append(samples_of(*sources)))
    with collecting(ENABLED, sources.append):
        thread.start()
        assert entered.wait(10)
        threading.Timer(0.2, proceed.set).start()
    thread.join(10)
    assert scrapes[0]["xengt_passive_up",] == 1
    assert fake_tracefs.is_clean()
    assert not guard_output.exists()
