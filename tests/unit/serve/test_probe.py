"""The probe: what a round measures and costs, and what happens when one fails."""

import errno
import logging
import time

import pytest

from tests.unit.agent_fixtures import FakeGranter, fake_probes
from tests.unit.exposition import samples_of
from tests.unit.waiting import wait_until
from xengt.errors import FailedError, UnmetError
from xengt.recovery.lock import BusyError
from xengt.serve import logs, probe
from xengt.serve.metrics.probe_metrics import ProbeMetrics
from xengt.serve.probe import ProbeCase
from xenlib_cffi.errors import GrantError, GrantStatus

__all__ = ["fake_probes"]  # fixtures


def test_a_round_measures_every_case(fake_probes):
    made = fake_probes.create(interval_s=60, calls=5)
    made.start()
    assert wait_until(lambda: made.rounds == 1)
    # one batch of references, and the further mappings of each that are held
    assert fake_probes.cases == [
        ("hypercall", batch, mappings, batch, batch * (mappings - 1))
        for batch in (1, 32)
        for mappings in (1, 3)
    ]
    found = samples_of(ProbeMetrics(made))
    labels = {"engine": "hypercall", "batch": "32", "mappings": "1", "path": "fast"}
    label_values = sorted((labels | {"operation": "map"}).items())
    assert found["xengt_probe_latency_seconds_count", *label_values] == 5 * 32
    assert found["xengt_probe_latency_seconds_sum", *label_values] == pytest.approx(5 * 32e-6)
    assert found["xengt_probe_floor_seconds", *label_values] == pytest.approx(400e-9, rel=0.01)
    third_mapping = sorted(
        (labels | {"operation": "unmap", "mappings": "3", "path": "slow"}).items()
    )
    assert found["xengt_probe_latency_seconds_count", *third_mapping] == 5 * 32
    assert found["xengt_probe_rounds_total",] == 1
    assert found["xengt_probe_last_success_timestamp_seconds",] == pytest.approx(
        time.time(), abs=60
    )
    assert found["xengt_probe_cpu_budget_ratio",] == 0.01
    made.stop()
    assert len(fake_probes.clean_ups) == 2  # before the round, and after it


def test_copies_are_cases_without_mappings(fake_probes):
    made = fake_probes.create(interval_s=60, calls=5, engines=("hypercall", "copy"))
    made.start()
    assert wait_until(lambda: made.rounds == 1)
    copies = [case for case in fake_probes.cases if case[0] == "copy"]
    assert copies == [("copy", 1, 1, 1, 0), ("copy", 32, 1, 32, 0)]
    labels = {"engine": "copy", "batch": "32", "mappings": "0", "path": "none"}
    for operation in ("copy_from", "copy_to"):
        label_values = sorted((labels | {"operation": operation}).items())
        found = samples_of(ProbeMetrics(made))
        assert found["xengt_probe_latency_seconds_count", *label_values] == 5 * 32
    made.stop()


def test_the_cpu_time_of_a_round_lengthens_the_pause(fake_probes, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(probe.time, "process_time", lambda: next(clock) * 0.5)
    pauses = []
    made = fake_probes.create(interval_s=1, cpu_budget=0.25)
    monkeypatch.setattr(made, "_wait", lambda s: (pauses.append(s), made._stopping.set()))
    made.run()
    assert pauses == [pytest.approx(2.0, abs=0.5)]  # 0.5 s of CPU time at a quarter of a CPU
    assert made.cpu_s == pytest.approx(0.5)


def test_the_cpu_time_of_a_failed_round_counts_as_well(fake_probes, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(probe.time, "process_time", lambda: next(clock) * 0.5)

    def fail(_setup):
        raise FailedError("cannot map")

    fake_probes.before_mapping = fail
    pauses = []
    made = fake_probes.create(interval_s=1, cpu_budget=0.25)
    monkeypatch.setattr(made, "_wait", lambda s: (pauses.append(s), made._stopping.set()))
    made.run()
    assert pauses == [pytest.approx(2.0, abs=0.5)]
    assert made.errors["none"] == 1


def test_rounds_are_skipped_while_a_benchmark_runs(fake_probes):
    def refuse():
        raise BusyError("another benchmark runs")

    fake_probes.open_journal = refuse
    made = fake_probes.create(interval_s=0.01)
    made.start()
    assert wait_until(lambda: made.rounds_skipped >= 2)
    made.stop()
    assert (made.rounds, fake_probes.cases, sum(made.errors.values())) == (0, [], 0)
    assert samples_of(ProbeMetrics(made))["xengt_probe_rounds_skipped_total",] >= 2


def test_a_journal_that_cannot_be_opened_is_a_failure(fake_probes, caplog):
    def refuse():
        raise UnmetError("/run/xengt/mappings cannot be opened: Permission denied")

    fake_probes.open_journal = refuse
    made = fake_probes.create(interval_s=0.01)
    made.start()
    assert wait_until(lambda: made.errors["none"] >= 2)
    made.stop()
    assert (made.rounds, made.rounds_skipped) == (0, 0)
    assert "/run/xengt/mappings cannot be opened" in caplog.text


def test_a_round_that_xen_rejects_is_counted_and_the_next_one_is_tried(fake_probes, caplog):
    grant_error = GrantError("map", 9, 8, "no space", GrantStatus.NO_SPACE)

    def before_mapping(_setup):
        if len(fake_probes.created[0].errors) == 0:
            raise FailedError("cannot map") from grant_error

    fake_probes.before_mapping = before_mapping
    made = fake_probes.create(interval_s=0.01)
    made.start()
    assert wait_until(lambda: made.rounds >= 1)
    made.stop()
    found = samples_of(ProbeMetrics(made))
    assert found["xengt_probe_errors_total", ("status", "GNTST_no_space")] == 1
    assert found["xengt_probe_errors_total", ("status", "none")] == 0
    assert FakeGranter.created == 2
    (record,) = (record for record in caplog.records if "cannot map" in record.message)
    fields = {
        key: value for key, value in vars(record).items() if key.startswith(logs.FIELD_PREFIX)
    }
    assert fields == {"XENGT_STATUS": "GNTST_no_space", "XENGT_DOMID": "9", "XENGT_GREF": "8"}


def destroy_granter():
    FakeGranter.destroyed = True


@pytest.mark.parametrize("during_a_round", [False, True])
def test_a_domain_that_the_toolstack_destroys_is_replaced_later_and_is_no_failure(
    fake_probes, monkeypatch, caplog, during_a_round
):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(probe, "_REPLACEMENT_S", 0.5)

    def before_mapping(_setup):
        if during_a_round and FakeGranter.created == 1 and made.rounds == 1:
            destroy_granter()
            raise FailedError("cannot map: no such domain")

    fake_probes.before_mapping = before_mapping
    made = fake_probes.create(interval_s=0.01)
    made.start()
    assert wait_until(lambda: made.rounds >= 1)
    if not during_a_round:
        destroy_granter()
    assert wait_until(lambda: "shut down or destroyed" in caplog.text)
    destroyed_at, cases = time.monotonic(), len(fake_probes.cases)
    assert wait_until(lambda: FakeGranter.created == 2)
    assert time.monotonic() - destroyed_at > 0.3
    assert wait_until(lambda: len(fake_probes.cases) > cases)
    made.stop()
    assert sum(made.errors.values()) == 0
    assert not made.failing


def test_an_unexpected_error_is_a_failed_round_and_does_not_end_the_thread(fake_probes, caplog):
    def before_mapping(_setup):
        if made.errors["none"] == 0:
            raise OSError(errno.EMFILE, "Too many open files")

    fake_probes.before_mapping = before_mapping
    made = fake_probes.create(interval_s=0.01)
    made.start()
    assert wait_until(lambda: made.rounds >= 1 or not made.is_alive())
    assert made.is_alive()
    made.stop()
    assert made.errors["none"] == 1
    assert "probe round failed: OSError(24, 'Too many open files')" in caplog.text
    assert "Traceback" in caplog.text


@pytest.mark.parametrize(
    ("engine", "mappings", "fast", "path"),
    [
        ("hypercall", 1, True, "fast"),
        ("hypercall", 2, True, "fast"),
        ("hypercall", 3, True, "slow"),
        ("gntdev", 1, True, "fast"),
        ("gntdev", 2, True, "slow"),
        ("hypercall", 1, False, "slow"),
        ("hypercall", 1, None, "unknown"),
        ("copy", 0, True, "none"),
        ("copy", 0, None, "none"),
    ],
)
def test_the_path_depends_on_fast_entries_and_mappings(engine, mappings, fast, path):
    assert ProbeCase(engine, 1, mappings).path(fast, gntdev_entries=2) == path
