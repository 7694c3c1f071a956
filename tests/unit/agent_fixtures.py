"""Fakes of what the agent needs of a dom0, and fixtures that run the agent with them."""

import logging
import os
import signal
import socket
import threading
import urllib.request
from types import SimpleNamespace

import pytest

from tests.patience import patient
from tests.unit import stand_in
from tests.unit.exposition import samples, samples_of
from tests.unit.fake_hypervisor import FakeCtrl, xen
from tests.unit.waiting import wait_until
from xengt.serve import agent, probe, service
from xengt.serve.config import ProbeOptions
from xengt.serve.metrics import console_metrics
from xengt.serve.metrics.host_metrics import HostMetrics
from xengt.serve.probe import Probe
from xengt.xen import host
from xenlib_cffi.histogram import Histogram

__all__ = ["xen"]  # fixtures

#: of a domain in the fake hypervisor
FIGURES = (1, 64, 2, 1024, 30, 4_000_000_000_000, 4, 500, 60, 7)


@pytest.fixture(autouse=True)
def signals_blocked():
    """Block the agent's signals in all threads, so that only sigtimedwait() takes them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, service.SIGNALS)
    yield
    while signal.sigtimedwait(service.SIGNALS, 0):
        pass
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def write_config(tmp_path, text):
    file = tmp_path / "serve.toml"
    file.write_text(text)
    return file


@pytest.fixture
def host_samples(xen):
    """A function that returns the host's samples, of two domains; `xen` is the hypervisor."""
    xen.have(0, *FIGURES)
    xen.have(7, *(figure + 1 for figure in FIGURES))
    names = {0: "Domain-0", 7: 'w"e\\b'}

    def read(max_domains=1000):
        return samples_of(HostMetrics(max_domains, names.get))

    return read


class FakeLoop:
    """A loop whose calls have a fixed duration, which is shorter if they are rejected."""

    def __init__(self, engine, shares, *, batch, warmup, rounds):
        assert (shares, warmup > 0) == ("shares", True)
        self.steps = (Histogram(), Histogram())
        self.durations_ns = (400, 300) if "REJECTED" in engine else (1000, 800)
        self.rounds, self.batch = rounds, batch

    def run(self):
        for calls, duration_ns in zip(self.steps, self.durations_ns, strict=True):
            calls.record(duration_ns * self.batch, self.rounds)


class FakeEngine:
    """An engine for `FakeLoop`."""

    loop, overhead_loop = "LOOP", "REJECTED_LOOP"


class FakeGranter(stand_in.Handle):
    """The granter of the probe: an empty domain."""

    created = 0
    destroyed = False

    def __init__(self, count):
        assert count == 1
        FakeGranter.created += 1
        FakeGranter.destroyed = False

    def exist(self):
        return not FakeGranter.destroyed

    def references(self, count):
        return [(9, gref, 0) for gref in range(8, 8 + count)]


@pytest.fixture
def fake_probes(monkeypatch):
    """Probes on fakes.

    `create` returns one, `created` has all of them. `before_mapping` is called with the setup of
    each case before it maps, `open_journal` instead of the function of that name. `cases` has
    (engine, batch, mappings, timed references, held references) of each measured case, `clean_ups`
    an item for each call of `sweep.clean_up`.
    """

    def holding(_engine, _journal, setup, references):
        fakes.before_mapping(setup)
        (timed,), held = setup.timed_and_held(references)  # the probe has one thread
        fakes.cases.append((setup.engine, setup.batch, setup.mappings, len(timed), len(held)))
        return stand_in.Yielding("shares")

    def create(**options):
        # A dom0 without gntdev.
        engines = {engine: engine != "gntdev" for engine in ProbeOptions(**options).engines}
        fakes.created.append(Probe(ProbeOptions(**options), engines, fast=True, gntdev_entries=2))
        return fakes.created[-1]

    fakes = SimpleNamespace(
        created=[],
        clean_ups=[],
        cases=[],
        create=create,
        before_mapping=lambda _setup: None,
        open_journal=stand_in.Handle,
    )
    monkeypatch.setattr(probe, "EmptyDomains", FakeGranter)
    monkeypatch.setattr(probe, "Loop", FakeLoop)
    monkeypatch.setattr(probe, "create_engine", lambda *_, **__: FakeEngine)
    monkeypatch.setattr(probe.run, "holding", holding)
    monkeypatch.setattr(probe.journal, "open_journal", lambda: fakes.open_journal())  # noqa: PLW0108
    monkeypatch.setattr(probe.sweep, "clean_up", fakes.clean_ups.append)
    FakeGranter.created, FakeGranter.destroyed = 0, False
    yield fakes
    for each in fakes.created:
        each.stop()


@pytest.fixture
def run_agent(host_samples, xen, tmp_path, monkeypatch):
    """A function that runs the agent in a thread of this process and returns its address.

    It takes the configuration without `[listen]` and its port, and whether to wait until the agent
    listens. `addresses` has the address after each start and reload, `config_file` and `thread` are
    the agent's.
    """
    assert host_samples(0)["xengt_domains",] == 2
    monkeypatch.setattr(agent, "require_dom0", lambda _engines: None)
    monkeypatch.setattr(host, "Ctrl", lambda: FakeCtrl(xen))
    monkeypatch.setattr(console_metrics, "Ctrl", lambda: FakeCtrl(xen))
    addresses = []
    failures = []

    def start(text, *, wait=True):
        file = write_config(tmp_path, f"[listen]\nport = 0\n{text}")

        def body():
            try:
                service.serve(file, addresses.append)
            except BaseException as error:
                failures.append(error)
                raise

        start.config_file = file
        start.thread = threading.Thread(target=body)
        start.thread.start()
        if not wait:
            return None
        wait_until(lambda: addresses or failures)
        return addresses[-1]

    start.addresses = addresses
    yield start
    if start.thread.is_alive():
        os.kill(os.getpid(), signal.SIGTERM)
        start.thread.join(10)


def scrape(address):
    """Return the page of an agent."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=patient(10)) as answer:
        return answer.read().decode()


def reload(agent, caplog, text):
    """Reload another configuration; return whether it has been accepted."""
    caplog.set_level(logging.INFO)
    caplog.clear()
    agent.config_file.write_text(text)
    os.kill(os.getpid(), signal.SIGHUP)
    assert wait_until(lambda: "reloaded" in caplog.text)
    return "configuration reloaded" in caplog.text


def counts(address):
    """Return the values of the counters and histograms of a page."""
    ends = ("_total", "_count", "_bucket", "_sum")
    return {
        key: value
        for key, value in samples(scrape(address)).items()
        if key[0].startswith("xengt_") and key[0].endswith(ends)
    }


@pytest.fixture
def taken_port():
    """A port in use by another program."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]
