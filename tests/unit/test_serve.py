"""The agent: its configuration, what it shows, how it starts, changes and ends."""

import gzip
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace
from http.client import HTTPConnection
from itertools import accumulate, pairwise
from math import ceil, log2
from pathlib import Path
from types import SimpleNamespace

import pytest
import stand_in
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from told import Library, collected, numbers
from usage_stand_ins import Ctrl, failed, xen

from xengt import dom0
from xengt.errors import FailedError, UnmetError
from xengt.serve import host, http, logs, native, notify, probe, service
from xengt.serve.buckets import BOUNDS_S, Buckets
from xengt.serve.config import (
    Config,
    HostOptions,
    Listen,
    PassiveOptions,
    ProbeOptions,
    load,
)
from xengt.serve.families import counter, gauge, histogram
from xengt.serve.host import Host
from xengt.serve.http import listening
from xengt.serve.page import Page
from xengt.serve.probe import Case, Probe
from xengt.serve.told import ProbeTold
from xenlib_cffi.errors import GrantError, GrantStatus
from xenlib_cffi.histogram import Histogram

__all__ = ["xen"]  # a fixture

FIGURES = (1, 64, 2, 1024, 30, 4_000_000_000_000, 4, 500)


@pytest.fixture(autouse=True)
def blocked():
    """Signals are for who waits for them: no thread of the stand-ins is to take one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, service.SIGNALS)
    yield
    while signal.sigtimedwait(service.SIGNALS, 0):
        pass
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


# the configuration


def written(tmp_path, text):
    file = tmp_path / "serve.toml"
    file.write_text(text)
    return file


def test_without_a_file_it_is_what_holds(tmp_path):
    assert load(None) == load(written(tmp_path, "")) == Config()
    assert (Config().listen.address, Config().listen.port) == ("127.0.0.1", 9805)


def test_every_key_is_taken(tmp_path):
    for name in ("crt", "key", "ca"):
        (tmp_path / name).write_text("x")
    found = load(
        written(
            tmp_path,
            f"""
            [listen]
            address = "::1"
            port = 1
            certificate = "{tmp_path}/crt"
            key = "{tmp_path}/key"
            client_ca = "{tmp_path}/ca"
            [probe]
            enabled = false
            interval_s = 2
            cpu_budget = 0.5
            engines = ["gntdev"]
            batches = [4, 4, 8]
            mappings = [2]
            calls = 7
            [passive]
            enabled = true
            [host]
            domains = 3
            """,
        )
    )
    files = (str(tmp_path / name) for name in ("crt", "key", "ca"))
    assert found == Config(
        Listen("::1", 1, *files),
        ProbeOptions(False, 2.0, 0.5, ("gntdev",), (4, 8), (2,), 7),
        PassiveOptions(enabled=True),
        HostOptions(3),
    )


@pytest.mark.parametrize(
    ("text", "what", "remedy"),
    [
        ("[nowhere]", "nowhere", "listen, probe, passive, host"),
        ("listen = 3", "listen", "listen, probe, passive, host"),
        ("[listen]\nport = 1\nprot = 2", "listen.prot", "port"),
        ("[listen]\naddress = 5", "listen.address", "text"),
        ("[listen]\nport = 65536", "listen.port", "65535"),
        ("[listen]\nport = true", "listen.port", "whole number"),
        ('[listen]\ncertificate = "/none"', "listen.certificate", "No such file"),
        ('[listen]\nkey = "/none"', "listen.key", "No such file"),
        ('[listen]\nclient_ca = "/none"', "listen.client_ca", "No such file"),
        ('[listen]\ncertificate = "/dev/null"', "listen.certificate and listen.key", "one"),
        ('[listen]\nclient_ca = "/dev/null"', "listen.client_ca", "certificate"),
        ("[probe]\nenabled = 1", "probe.enabled", "true or false"),
        ("[probe]\ninterval_s = 0", "probe.interval_s", "above 0"),
        ("[probe]\ncpu_budget = 1.5", "probe.cpu_budget", "1 at most"),
        ("[probe]\ncpu_budget = nan", "probe.cpu_budget", "1 at most"),
        ('[probe]\nengines = ["privcmd"]', "probe.engines", "hypercall, gntdev"),
        ("[probe]\nbatches = []", "probe.batches", "not empty"),
        ("[probe]\nbatches = [0]", "probe.batches", "from 1"),
        ("[probe]\nmappings = [4]", "probe.mappings", "to 3"),
        ("[probe]\ncalls = 1.5", "probe.calls", "whole number"),
        ("[passive]\nenabled = 'no'", "passive.enabled", "true or false"),
        ("[host]\ndomains = -1", "host.domains", "from 0"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, what, remedy):
    with pytest.raises(UnmetError) as caught:
        load(written(tmp_path, text))
    assert what in caught.value.what
    assert remedy in caught.value.remedy


def test_what_cannot_be_read_is_told(tmp_path):
    with pytest.raises(UnmetError, match="cannot be read"):
        load(tmp_path / "none")
    with pytest.raises(UnmetError, match="not TOML"):
        load(written(tmp_path, "[listen"))


# the histograms


def test_bounds_are_from_250_ns_to_10_ms():
    assert (BOUNDS_S[0], BOUNDS_S[-1]) == (250e-9, 10e-3)
    steps = [high / low for low, high in pairwise(BOUNDS_S)]
    fine = [step for (low, _), step in zip(pairwise(BOUNDS_S), steps, strict=True) if low < 22e-6]
    assert all(1 < step < 1.0915 for step in fine)
    assert all(1 < step < 2.001 for step in steps)


@given(st.lists(st.integers(0, 10**9), max_size=50), st.sampled_from([1, 32]))
def test_each_operation_is_below_its_bound(nanoseconds, batch):
    calls, buckets = Histogram(), Buckets()
    for value in nanoseconds:
        calls.record(value)
    buckets.add(calls, batch)
    *bounded, (last, whole) = buckets.cumulative()
    assert (last, whole) == ("+Inf", batch * len(nanoseconds))
    assert buckets.sum_s == pytest.approx(sum(nanoseconds) * 1e-9)
    for bound, (name, count) in zip(BOUNDS_S, bounded, strict=True):
        assert float(name) == bound
        # A value is known to a thousandth: what is nearer to a bound may be on either side.
        below = sum(value * 1e-9 / batch <= bound * 0.998 for value in nanoseconds)
        most = sum(value * 1e-9 / batch <= bound * 1.002 for value in nanoseconds)
        assert batch * below <= count <= batch * most


def test_what_is_added_stays():
    calls, buckets = Histogram(), Buckets()
    calls.record(3000, 2)
    buckets.add(calls, 1)
    buckets.add(calls, 1)
    assert buckets.cumulative()[-1][1] == 4
    assert buckets.sum_s == pytest.approx(12e-6)


# the page

WORDS = st.text(max_size=5)
NUMBERS = st.integers(0, 2**53) | st.floats(allow_nan=False)


class Given:
    """A source that tells what it is given."""

    def __init__(self, *families):
        self.told = families

    def families(self):
        return self.told


def by_the_library(source):
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Library([source]))
    return generate_latest(registry).decode()


@given(
    st.lists(
        st.lists(st.tuples(WORDS, NUMBERS), max_size=3, unique_by=lambda row: row[0]),
        min_size=1,
        max_size=4,
    )
)
@settings(deadline=None)
def test_numbers_are_put_where_the_library_puts_them(scrapes):
    """Scrape after scrape: the same series and others, under names of any text."""
    source = Given()
    page = Page([source])
    for rows in scrapes:
        buckets = Buckets()
        for _, number in rows:
            calls = Histogram()
            calls.record(int(min(abs(number), 10**9)))
            buckets.add(calls, 2)
        named = [((word,), number) for word, number in rows]
        source.told = (
            gauge("a_gauge", "What \\ it\nis.", ["word"], named),
            counter("a_count", "Is.", ["word"], named),
            histogram("a_seconds", "Is.", ["word"], [(words, buckets) for words, _ in named]),
        )
        expected, found = by_the_library(source), page.text().decode()
        assert numbers(found) == numbers(expected)
        # comments and series as they are, in the order they are in
        assert [line.rpartition(" ")[0] for line in found.split("\n") if line[:1] != "#"] == [
            line.rpartition(" ")[0] for line in expected.split("\n") if line[:1] != "#"
        ]
        assert [line for line in found.split("\n") if line[:1] == "#"] == [
            line for line in expected.split("\n") if line[:1] == "#"
        ]


def test_a_family_is_written_anew_only_with_other_series():
    source = Given(gauge("a", "Is.", ["b"], [(("c",), 1)]))
    page = Page([source])
    page.text()
    source.told = (replace(gauge("a", "Is.", ["b"], [(("c",), 2)]), metric=None),)
    assert page.text().decode().endswith('a{b="c"} 2\n')


# native histograms

OPENMETRICS_2 = "application/openmetrics-text; version=2.0.0; escaping=underscores,text/plain"


@pytest.mark.skipif(not native.CAN, reason="this prometheus_client writes none")
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20), st.sampled_from([1, 32]))
@settings(deadline=None)
def test_native_histograms_count_each_latency_in_its_bucket(nanoseconds, batch):
    calls, buckets = Histogram(), Buckets()
    for value in nanoseconds:
        calls.record(value)
    buckets.add(calls, batch)
    page = Page([Given(histogram("a_seconds", "Is.", ["b"], [(["c"], buckets)]))])
    content, kind = page.answer(OPENMETRICS_2)
    assert "version=2.0.0" in kind
    assert content.endswith(b"# EOF\n")
    (line,) = [
        each for each in content.decode().split("\n") if each.startswith('a_seconds{b="c"} {')
    ]
    found = re.fullmatch(
        r'a_seconds\{b="c"\} \{count:(\d+),sum:(\S+),schema:3,zero_threshold:0.0,zero_count:0,'
        r"positive_spans:\[(\S+)\],positive_deltas:\[(\S+)\]\}",
        line,
    )
    assert int(found[1]) == batch * len(nanoseconds)
    assert float(found[2]) == pytest.approx(sum(nanoseconds) * 1e-9)
    deltas = accumulate(map(int, found[4].split(",")))
    index, counted = 0, {}
    for span in found[3].split(","):
        gap, length = map(int, span.split(":"))
        index += gap
        for _ in range(length):
            counted[index] = next(deltas)
            index += 1
    assert next(deltas, None) is None
    for value in set(nanoseconds):
        # A value is known to a thousandth: near a bound it may be on either side.
        at = 8 * log2(max(value, 1) * 1e-9 / batch)
        assert any(counted.get(ceil(at + near)) for near in (-0.01, 0, 0.01))
    # The other forms have none of it, and the bounds as ever.
    assert b"schema" not in page.answer("text/plain")[0]
    assert b'a_seconds_bucket{b="c",le="+Inf"}' in content


def test_who_asks_for_an_older_openmetrics_gets_text():
    page = Page([Given(gauge("a", "Is.", [], [((), 1)]))])
    for accept in ("", "application/openmetrics-text;version=1.0.0,text/plain", "*/*"):
        content, kind = page.answer(accept)
        assert kind.startswith("text/plain; version=")
        assert content.endswith(b"\na 1\n")


# the host


@pytest.fixture
def told(xen, monkeypatch):
    """A host of two domains, as it is told; `xen` is its hypervisor."""
    monkeypatch.setattr(host, "Ctrl", lambda: Ctrl(xen))
    xen.have(0, *FIGURES)
    xen.have(7, *(figure + 1 for figure in FIGURES))
    names = {0: "Domain-0", 7: 'w"e\\b'}

    def tell(most=1000):
        return collected(Host(most, names.get))

    return tell


def test_every_figure_of_a_domain_is_told(told):
    found = told()
    zero, seven = ("domid", "0"), ("domid", "7")
    assert found["xengt_grant_frames", seven] == 2
    assert found["xengt_grant_frames_limit", zero] == 64
    assert found["xengt_maptrack_frames", zero] == 2
    assert found["xengt_maptrack_frames_limit", zero] == 1024
    assert found["xengt_mappings", zero, ("record", "fast")] == 30
    assert found["xengt_mappings", zero, ("record", "slow")] == 4
    assert found["xengt_mappings_made_total", zero, ("record", "fast")] == 4_000_000_000_000
    assert found["xengt_mappings_made_total", seven, ("record", "slow")] == 501
    assert found["xengt_domain_info", zero, ("dying", "no"), ("name", "Domain-0")] == 1
    assert found["xengt_domain_info", seven, ("dying", "no"), ("name", 'w"e\\b')] == 1
    build = (("build_id", "00ff"), ("maptrack", "fast"), ("version", "4.20.3"))
    assert found["xengt_hypervisor_info", *build] == 1
    assert found["xengt_domains",] == 2
    assert found["xengt_host_read_failures_total",] == 0
    assert not [key for key in found if key[0] == "xengt_unavailable"]


def test_a_domain_that_goes_takes_its_series_along(told, xen):
    assert any(("domid", "7") in key for key in told())
    xen.lose(7)
    assert not any(("domid", "7") in key for key in told())


def test_on_stock_it_says_what_is_not_told(told, xen):
    xen.tables = None
    found = told()
    assert found["xengt_grant_frames", ("domid", "0")] == 1
    assert not [key for key in found if key[0] in {"xengt_mappings", "xengt_maptrack_frames"}]
    missing = {dict(key[1:])["figure"] for key in found if key[0] == "xengt_unavailable"}
    assert missing == {"maptrack_frames", "max_maptrack_frames"} | {
        f"{record}_{what}" for record in ("fast", "slow") for what in ("live", "maps")
    }


def test_more_domains_than_wanted_are_counted(told):
    found = told(1)
    assert (found["xengt_domains",], found["xengt_domains_left_out",]) == (2, 1)
    assert not any(("domid", "7") in key for key in found)


def test_a_host_that_does_not_answer_is_told(told, xen):
    def refuse(_what):
        raise failed("xc_domain_getinfolist", "domains", 13)

    xen.before = refuse
    assert told()["xengt_host_read_failures_total",] == 1


# the probe


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

    loop, floor = "LOOP", "REFUSED_LOOP"


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

    def holding(_way, _book, setup, timed, held):
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
    monkeypatch.setattr(probe, "engine", lambda *_, **__: FakeEngine)
    monkeypatch.setattr(probe.bench, "holding", holding)
    monkeypatch.setattr(probe.journal, "opened", lambda: probing.opened())  # noqa: PLW0108
    monkeypatch.setattr(probe.leftovers, "clear", probing.cleared.append)
    FakeGranter.made = 0
    yield probing
    for made in probing.made:
        made.stop()


def waits_until(condition):
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


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
    found = collected(ProbeTold(made))
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
    assert collected(ProbeTold(made))["xengt_probe_rounds_skipped_total",] >= 2


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
    found = collected(ProbeTold(made))
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
    assert Case(engine, 1, mappings).path(kind, gntdev_entries=2) == path


# the service


@pytest.fixture
def running(told, xen, tmp_path, monkeypatch):
    """Run it in this process, in a thread that takes the signals; its address is returned."""
    assert told(0)["xengt_domains",] == 2
    monkeypatch.setattr(dom0, "require", lambda _engines: None)
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
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return answer.read().decode()


def test_it_serves_until_sigterm(running):
    address = running("[probe]\nenabled = false")
    page = scraped(address)
    assert re.search(r'^xengt_grant_frames\{domid="7"\} 2$', page, re.MULTILINE)
    assert "process_resident_memory_bytes" in page
    assert "xengt_probe" not in page
    began = time.monotonic()
    os.kill(os.getpid(), signal.SIGTERM)
    running.thread.join(10)
    assert time.monotonic() - began < 2
    with pytest.raises(urllib.error.URLError):
        scraped(address)


def test_sighup_has_the_configuration_read_again(running):
    running("[probe]\nenabled = false\n[host]\ndomains = 1")
    assert 'domid="7"' not in scraped(running.addresses[-1])
    running.file.write_text("[listen]\nport = 0\n[probe]\nenabled = false")
    os.kill(os.getpid(), signal.SIGHUP)
    assert waits_until(lambda: len(running.addresses) == 2)
    assert 'domid="7"' in scraped(running.addresses[-1])


def test_a_configuration_that_became_wrong_changes_nothing(running, caplog):
    address = running("[probe]\nenabled = false")
    running.file.write_text("[listen]\nport = 'x'")
    os.kill(os.getpid(), signal.SIGHUP)
    assert waits_until(lambda: "still as before" in caplog.text)
    assert "xengt_domains" in scraped(address)
    assert len(running.addresses) == 1


@pytest.mark.usefixtures("probing")
def test_a_probe_runs_with_it(running):
    address = running("[probe]\nengines = ['hypercall']\ninterval_s = 0.05")
    assert waits_until(lambda: "xengt_probe_rounds_total 0\n" not in scraped(address))
    os.kill(os.getpid(), signal.SIGTERM)
    running.thread.join(10)
    assert not any(thread.name == "xengt-probe" for thread in threading.enumerate())


def test_a_probe_that_fails_says_so_until_it_does_not(running, probing, xen):
    refused = threading.Event()
    refused.set()

    def held(_setup):
        if refused.is_set():
            raise FailedError("cannot map")

    def state():
        return xen.store.nodes.get("/local/domain/0/data/xengt/serve/state")

    probing.held = held
    running("[probe]\nengines = ['hypercall']\ninterval_s = 0.05")
    assert waits_until(lambda: state() == b"failing")
    refused.clear()
    assert waits_until(lambda: state() == b"probing")


@pytest.mark.usefixtures("probing")
def test_an_engine_that_cannot_be_is_left_out(running, monkeypatch, caplog):
    def require(engines):
        if "hypercall" in engines:
            raise UnmetError("dom0 is PVH", "measure with gntdev")

    monkeypatch.setattr(dom0, "require", require)
    page = scraped(running("[probe]\ninterval_s = 60"))
    assert 'xengt_probe_up{engine="gntdev"} 1\n' in page
    assert 'xengt_probe_up{engine="hypercall"} 0\n' in page
    assert '_count{engine="hypercall"' not in page
    assert "no probe of hypercall: dom0 is PVH" in caplog.text


def test_a_port_in_use_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = written(tmp_path, f"[listen]\nport = {port}\n[probe]\nenabled = false")
        with pytest.raises(UnmetError, match=f"cannot listen on 127.0.0.1:{port}") as caught:
            service.serve(file, lambda _address: None)
    assert "ss -ltnp" in caught.value.remedy


@pytest.fixture
def certificates(tmp_path):
    """A certificate and key of 127.0.0.1's own making."""
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "crt")]
    subprocess.run([*words, *names, *files], check=True, capture_output=True)
    return tmp_path


def test_with_a_certificate_it_speaks_tls(running, certificates):
    crt, key = (certificates / name for name in ("crt", "key"))
    address = running(
        f"certificate = '{crt}'\nkey = '{key}'\nclient_ca = '{crt}'\n[probe]\nenabled = false"
    )
    curl = ["curl", "--silent", "--show-error", "--cacert", str(crt), f"https://{address}/metrics"]
    without = subprocess.run(curl, capture_output=True, text=True, check=False)
    assert without.returncode != 0
    shown = [*curl, "--cert", str(crt), "--key", str(key)]
    done = subprocess.run(shown, capture_output=True, text=True, check=False)
    assert "xengt_domains 2\n" in done.stdout, done.stderr


def test_what_is_no_certificate_is_told(tmp_path):
    for name in ("crt", "key"):
        (tmp_path / name).write_text("none")
    listen = Listen("127.0.0.1", 0, str(tmp_path / "crt"), str(tmp_path / "key"))
    with pytest.raises(UnmetError, match="TLS cannot be had") as caught, listening(listen, str):
        pass
    assert str(tmp_path / "crt") in caught.value.what
    assert "PEM" in caught.value.remedy


def test_who_connects_and_says_nothing_keeps_nobody_waiting(certificates):
    """With TLS as well: the handshake is the connection's own business."""
    files = (str(certificates / "crt"), str(certificates / "key"))
    with listening(
        Listen("127.0.0.1", 0, *files), lambda _accept: (b"x 1\n", "text/plain")
    ) as address:
        host_name, _, port = address.partition(":")
        with socket.create_connection((host_name, int(port))):
            context = ssl.create_default_context(cafile=files[0])
            with urllib.request.urlopen(
                f"https://{address}/metrics", timeout=10, context=context
            ) as answer:
                assert answer.read() == b"x 1\n"


@pytest.mark.parametrize("tls", [True, False])
def test_who_says_nothing_for_long_is_hung_up_on(request, monkeypatch, tls):
    monkeypatch.setattr(http, "_PATIENCE_S", 0.3)
    monkeypatch.setattr(http._Handler, "timeout", 0.3)
    files = [str(request.getfixturevalue("certificates") / f) for f in ("crt", "key")] * tls
    with listening(Listen("127.0.0.1", 0, *files), lambda _: (b"", "")) as address:
        host_name, _, port = address.partition(":")
        with socket.create_connection((host_name, int(port)), timeout=10) as silent:
            assert silent.recv(100) == b""


def test_pages_come_packed_over_one_connection_and_nothing_else_does():
    pages = iter([b"x 1\n", b"x 2\n"])
    with listening(Listen("::1", 0), lambda accept: (next(pages), accept)) as address:
        host_name, _, port = address.rpartition(":")
        assert host_name == "[::1]"
        connection = HTTPConnection("::1", int(port), timeout=10)
        for expected in (b"x 1\n", b"x 2\n"):
            headers = {"Accept-Encoding": "gzip", "Accept": "text/x"}
            connection.request("GET", "/metrics?a=b", headers=headers)
            answer = connection.getresponse()
            assert answer.headers["Content-Encoding"] == "gzip"
            assert answer.headers["Content-Type"] == "text/x"
            assert gzip.decompress(answer.read()) == expected
        connection.request("GET", "/nothing")
        answer = connection.getresponse()
        assert answer.status == 404
        assert b"/metrics" in answer.read()
        connection.close()


# systemd


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    """What systemd is told."""
    path = tmp_path / "notify"
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(str(path))
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))

    def told(seconds=10):
        listening.settimeout(seconds)
        return listening.recv(4096).decode()

    yield told
    listening.close()


def test_systemd_is_told_how_it_is(running, systemd, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    address = running("[probe]\nenabled = false")
    assert systemd() == f"READY=1\nSTATUS=passive, listening on {address}"
    alive = f"WATCHDOG=1\nSTATUS=passive, listening on {address}"
    assert systemd() == alive
    os.kill(os.getpid(), signal.SIGHUP)
    while (state := systemd()) == alive:
        pass
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", state)
    state = systemd()
    assert state.startswith("READY=1")
    alive = state.replace("READY", "WATCHDOG")
    os.kill(os.getpid(), signal.SIGTERM)
    while (state := systemd()) == alive:
        pass
    assert state == "STOPPING=1"


def test_without_systemd_nobody_is_told(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify.notify("READY=1")
    monkeypatch.setenv("WATCHDOG_USEC", "5000000")
    assert notify.watchdog_s() == 5
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert notify.watchdog_s() is None


def test_a_probe_that_is_stuck_is_not_hidden_from_systemd(running, probing, systemd, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    monkeypatch.setattr(service, "_PROBE_STUCK_S", 0.5)
    stuck = threading.Event()
    probing.held = lambda _setup: stuck.wait(20)
    try:
        running("[probe]\nengines = ['hypercall']")
        assert systemd().startswith("READY=1")
        assert systemd().startswith("WATCHDOG=1\nSTATUS=probing")
        assert waits_until(lambda: not told_within(systemd, 1))
    finally:
        stuck.set()


def told_within(systemd, seconds):
    try:
        return systemd(seconds)
    except TimeoutError:
        return None


def test_the_command_says_where_it_listens(tmp_path):
    code = (
        "import os\n"
        "from xengt import dom0, cli\n"
        "from xengt.serve import host\n"
        "dom0.require = lambda engines: None\n"
        "host.read = lambda: 1 / 0\n"
        "cli.main()\n"
    )
    file = written(tmp_path, "[listen]\nport = 0\n[probe]\nenabled = false")
    words = ["python3", "-c", code, "serve", "--json", "--config", str(file)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as process:
        said = json.loads(process.stdout.readline())
        assert said["schema"] == "xengt.serve/1"
        host_name, _, port = said["address"].partition(":")
        socket.create_connection((host_name, int(port)), timeout=10).close()
        process.terminate()
        assert process.wait(timeout=10) == 0


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [("[probe]\ncalls = 3", 0, ""), ("[probe]\ncals = 3", 2, "probe.cals cannot be")],
)
def test_a_dry_run_judges_the_configuration_and_needs_no_xen(tmp_path, text, code, said):
    words = ["python3", "-m", "xengt", "serve", "--dry-run", "--config", written(tmp_path, text)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert bool(done.stderr) == bool(said)
