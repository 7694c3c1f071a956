"""The probe: what a round measures, costs, and does when it is refused."""

import time

import pytest

from tests.unit.serving import FakeGranter, probing
from tests.unit.told import collected
from tests.unit.waiting import waits_until
from xengt.errors import FailedError, UnmetError
from xengt.serve import logs, probe
from xengt.serve.metrics.probe_metrics import ProbeMetrics
from xengt.serve.probe import ProbeCase
from xenlib_cffi.errors import GrantError, GrantStatus

__all__ = ["probing"]  # fixtures


def test_a_round_measures_every_case(probing):
    made = probing.make(interval_s=60, calls=5)
    made.start()
    assert waits_until(lambda: made.rounds == 1)
    # a batch of references each, and what is held of them beside
    assert probing.holds == [
        ("hypercall", batch, mappings, batch, batch * (mappings - 1))
        for batch in (1, 32)
        for mappings in (1, 3)
    ]
    found = collected(ProbeMetrics(made))
    labels = {"engine": "hypercall", "batch": "32", "mappings": "1", "path": "fast"}
    words = sorted((labels | {"operation": "map"}).items())
    assert found["xengt_probe_latency_seconds_count", *words] == 5 * 32
    assert found["xengt_probe_latency_seconds_sum", *words] == pytest.approx(5 * 32e-6)
    assert found["xengt_probe_floor_seconds", *words] == pytest.approx(400e-9, rel=0.01)
    third = sorted((labels | {"operation": "unmap", "mappings": "3", "path": "slow"}).items())
    assert found["xengt_probe_latency_seconds_count", *third] == 5 * 32
    assert found["xengt_probe_rounds_total",] == 1
    assert found["xengt_probe_last_success_timestamp_seconds",] == pytest.approx(
        time.time(), abs=60
    )
    assert found["xengt_probe_cpu_budget_ratio",] == 0.01
    made.stop()
    assert len(probing.cleared) == 2  # before the round, and after it


def test_what_a_round_costs_is_waited_for(probing, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(probe.time, "process_time", lambda: next(clock) * 0.5)
    waited = []
    made = probing.make(interval_s=1, cpu_budget=0.25)
    monkeypatch.setattr(made, "_wait", lambda s: (waited.append(s), made._stopping.set()))
    made.run()
    assert waited == [pytest.approx(2.0, abs=0.5)]  # half a second of a quarter of the CPU
    assert made.cpu_s == pytest.approx(0.5)


def test_what_fails_costs_as_well(probing, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(probe.time, "process_time", lambda: next(clock) * 0.5)

    def fail(_setup):
        raise FailedError("cannot map")

    probing.held = fail
    waited = []
    made = probing.make(interval_s=1, cpu_budget=0.25)
    monkeypatch.setattr(made, "_wait", lambda s: (waited.append(s), made._stopping.set()))
    made.run()
    assert waited == [pytest.approx(2.0, abs=0.5)]
    assert made.errors["none"] == 1


def test_a_benchmark_that_runs_is_not_disturbed(probing):
    def refuse():
        raise UnmetError("another benchmark runs")

    probing.opened = refuse
    made = probing.make(interval_s=0.01)
    made.start()
    assert waits_until(lambda: made.busy >= 2)
    made.stop()
    assert (made.rounds, probing.holds, sum(made.errors.values())) == (0, [], 0)
    assert collected(ProbeMetrics(made))["xengt_probe_rounds_skipped_total",] >= 2


def test_what_xen_refuses_is_counted_and_tried_again(probing, caplog):
    refused = GrantError("map", 9, 8, "no space", GrantStatus.NO_SPACE)

    def held(_setup):
        if len(probing.made[0].errors) == 0:
            raise FailedError("cannot map") from refused

    probing.held = held
    made = probing.make(interval_s=0.01)
    made.start()
    assert waits_until(lambda: made.rounds >= 1)
    made.stop()
    found = collected(ProbeMetrics(made))
    assert found["xengt_probe_errors_total", ("status", "GNTST_no_space")] == 1
    assert found["xengt_probe_errors_total", ("status", "none")] == 0
    assert FakeGranter.made == 2
    (record,) = (record for record in caplog.records if "cannot map" in record.message)
    fields = {key: value for key, value in vars(record).items() if key.startswith(logs.OWN)}
    assert fields == {"XENGT_STATUS": "GNTST_no_space", "XENGT_DOMID": "9", "XENGT_GREF": "8"}


@pytest.mark.parametrize(
    ("engine", "mappings", "kind", "path"),
    [
        ("hypercall", 1, "fast", "fast"),
        ("hypercall", 2, "fast", "fast"),
        ("hypercall", 3, "fast", "slow"),
        ("gntdev", 1, "fast", "fast"),
        ("gntdev", 2, "fast", "slow"),
        ("hypercall", 1, "stock", "slow"),
        ("hypercall", 1, "no-fast", "slow"),
        ("hypercall", 1, "unknown", "unknown"),
    ],
)
def test_a_path_is_told(engine, mappings, kind, path):
    assert ProbeCase(engine, 1, mappings).path(kind, gntdev_entries=2) == path
