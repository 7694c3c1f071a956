"""Stand-ins for what the agent needs of a dom0, and the agent that runs among them."""

import os
import signal
import threading
import urllib.error
import urllib.request
from types import SimpleNamespace

import pytest

from tests.patience import patient
from tests.unit import stand_in
from tests.unit.told import collected
from tests.unit.usage_stand_ins import Ctrl, xen
from tests.unit.waiting import waits_until
from xengt.serve import probe, service
from xengt.serve.config import (
    ProbeOptions,
)
from xengt.serve.metrics import host_metrics
from xengt.serve.metrics.host_metrics import HostMetrics
from xengt.serve.probe import Probe
from xengt.xen import preflight
from xenlib_cffi.histogram import Histogram

__all__ = ["xen"]  # fixtures


FIGURES = (1, 64, 2, 1024, 30, 4_000_000_000_000, 4, 500)


@pytest.fixture(autouse=True)
def blocked():
    """Signals are for who waits for them: no thread of the stand-ins is to take one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, service.SIGNALS)
    yield
    while signal.sigtimedwait(service.SIGNALS, 0):
        pass
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def written(tmp_path, text):
    file = tmp_path / "serve.toml"
    file.write_text(text)
    return file


@pytest.fixture
def told(xen, monkeypatch):
    """A host of two domains, as it is told; `xen` is its hypervisor."""
    monkeypatch.setattr(host_metrics, "Ctrl", lambda: Ctrl(xen))
    xen.have(0, *FIGURES)
    xen.have(7, *(figure + 1 for figure in FIGURES))
    names = {0: "Domain-0", 7: 'w"e\\b'}

    def tell(most=1000):
        return collected(HostMetrics(most, names.get))

    return tell


class FakeLoop:
    """Stand in for the loop in C: each call takes as long as its engine's name says."""

    def __init__(self, engine, shares, *, batch, warmup, rounds):
        assert (shares, warmup > 0) == ("shares", True)
        self.maps, self.unmaps = Histogram(), Histogram()
        self.took = (400, 300) if "REFUSED" in engine else (1000, 800)
        self.rounds, self.batch = rounds, batch

    def run(self):
        for calls, took in zip((self.maps, self.unmaps), self.took, strict=True):
            calls.record(took * self.batch, self.rounds)


class FakeEngine:
    """Stand in for an engine."""

    loop, overhead_loop = "LOOP", "REFUSED_LOOP"


class FakeGranter(stand_in.Handle):
    """Stand in for a domain of the probe's own."""

    made = 0

    def __init__(self, count):
        assert count == 1
        FakeGranter.made += 1

    def references(self, count):
        return [(9, gref, 0) for gref in range(8, 8 + count)]


@pytest.fixture
def probing(monkeypatch):
    """A probe of stand-ins; `probing.held` is called for each case's mappings."""
    holds = []

    def holding(_engine, _journal, setup, references):
        ((timed,), held) = setup.timed_and_held(references)
        probing.held(setup)
        holds.append((setup.engine, setup.batch, setup.mappings, len(timed), len(held)))
        return stand_in.Yielding("shares")

    def make(**options):
        made = Probe(
            ProbeOptions(**options), {"hypercall": True, "gntdev": False}, "fast", gntdev_entries=2
        )
        probing.made.append(made)
        return made

    probing = SimpleNamespace(
        made=[],
        cleared=[],
        holds=holds,
        make=make,
        held=lambda _setup: None,
        opened=stand_in.Handle,
    )
    monkeypatch.setattr(probe, "EmptyDomains", FakeGranter)
    monkeypatch.setattr(probe, "Loop", FakeLoop)
    monkeypatch.setattr(probe, "create_engine", lambda *_, **__: FakeEngine)
    monkeypatch.setattr(probe.run, "holding", holding)
    monkeypatch.setattr(probe.journal, "open_journal", lambda: probing.opened())  # noqa: PLW0108
    monkeypatch.setattr(probe.sweep, "clean_up", probing.cleared.append)
    FakeGranter.made = 0
    yield probing
    for made in probing.made:
        made.stop()


@pytest.fixture
def running(told, xen, tmp_path, monkeypatch):
    """Run it in this process, in a thread that takes the signals; its address is returned."""
    assert told(0)["xengt_domains",] == 2
    monkeypatch.setattr(preflight, "require_dom0", lambda _engines: None)
    monkeypatch.setattr(service, "Ctrl", lambda: Ctrl(xen))
    addresses = []
    ended = []

    def serve(text):
        file = written(tmp_path, f"[listen]\nport = 0\n{text}")

        def body():
            try:
                service.serve(file, addresses.append)
            except BaseException as error:
                ended.append(error)
                raise

        serve.file = file
        serve.thread = threading.Thread(target=body)
        serve.thread.start()
        waits_until(lambda: addresses or ended)
        return addresses[-1]

    serve.addresses = addresses
    yield serve
    if serve.thread.is_alive():
        os.kill(os.getpid(), signal.SIGTERM)
        serve.thread.join(10)


def scraped(address):
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=patient(10)) as answer:
        return answer.read().decode()
