"""A reload of the agent's configuration: what changes, what continues, what is rejected."""

import os
import signal
import threading
import time

import pytest

from tests.unit.agent_fixtures import (
    FakeGranter,
    counts,
    fake_probes,
    host_samples,
    reload,
    run_agent,
    scrape,
    signals_blocked,
    taken_port,
    xen,
)
from tests.unit.exposition import samples
from tests.unit.fake_tracefs import captured_histogram, fake_tracefs, guard_output
from tests.unit.http_fixtures import certificates, connect, make_certificate
from tests.unit.waiting import wait_until
from xengt.errors import FailedError
from xengt.serve import service
from xengt.serve.http import connections
from xengt.serve.passive import tracefs

__all__ = [  # fixtures
    "certificates",
    "fake_probes",
    "fake_tracefs",
    "guard_output",
    "host_samples",
    "run_agent",
    "signals_blocked",
    "taken_port",
    "xen",
]


def test_sighup_reloads_the_configuration(run_agent):
    run_agent("[probe]\nenabled = false\n[host]\ndomains = 1")
    assert 'domid="7"' not in scrape(run_agent.addresses[-1])
    run_agent.config_file.write_text("[listen]\nport = 0\n[probe]\nenabled = false")
    os.kill(os.getpid(), signal.SIGHUP)
    assert wait_until(lambda: len(run_agent.addresses) == 2)
    assert 'domid="7"' in scrape(run_agent.addresses[-1])


def test_metrics_show_whether_the_last_reload_succeeded_and_when_one_did(run_agent, caplog):
    def last_reload():
        found = samples(scrape(run_agent.addresses[-1]))
        names = ("successful", "success_timestamp_seconds")
        return [found[f"xengt_config_last_reload_{name}",] for name in names]

    began = time.time()
    run_agent("[probe]\nenabled = false")
    successful, started = last_reload()
    assert successful == 1
    assert began <= started <= time.time()
    for invalid in ("[listen]\nport = 'x'", "[listen]\naddress = '203.0.113.1'"):
        assert not reload(run_agent, caplog, invalid)
        assert wait_until(lambda: last_reload() == [0, started])
    reloading = time.time()
    assert reload(run_agent, caplog, "[listen]\nport = 0\n[probe]\nenabled = false")
    assert wait_until(lambda: last_reload()[0] == 1)
    assert reloading <= last_reload()[1] <= time.time()


def test_an_invalid_configuration_is_not_reloaded(run_agent, caplog):
    address = run_agent("[probe]\nenabled = false")
    run_agent.config_file.write_text("[listen]\nport = 'x'")
    os.kill(os.getpid(), signal.SIGHUP)
    assert wait_until(lambda: "configuration not reloaded" in caplog.text)
    assert "xengt_domains" in scrape(address)
    assert len(run_agent.addresses) == 1


@pytest.mark.usefixtures("fake_probes")
@pytest.mark.parametrize(
    ("listen", "message"),
    [
        ("address = '203.0.113.1'", "cannot listen on 203.0.113.1:0: Cannot assign requested addr"),
        ("port = {port}", "cannot listen on 127.0.0.1:{port}: Address already in use"),
        ("certificate = '{dir}/crt'\nkey = '{dir}/key2'", "the key is not the certificate's"),
        ("web_config = '{dir}/crt'", "crt: the file must be a mapping with strings as keys"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_not_reloaded(
    run_agent, certificates, taken_port, caplog, listen, message
):
    """The agent says why, and nothing of it has changed or been interrupted."""
    make_certificate(certificates, "2")
    address = run_agent("[probe]\nengines = ['hypercall']\ninterval_s = 0.05")
    connection = connect(address)
    connection.request("GET", "/metrics")
    assert connection.getresponse().read()
    places = {"dir": certificates, "port": taken_port}
    port = "" if "port" in listen else "port = 0\n"
    text = f"[listen]\n{port}{listen.format(**places)}\n[probe]\nenabled = false"
    assert not reload(run_agent, caplog, text)
    assert message.format(**places) in caplog.text
    connection.request("GET", "/metrics")
    assert b"xengt_probe_rounds_total" in connection.getresponse().read()
    connection.close()
    assert len(run_agent.addresses) == 1
    before = FakeGranter.created
    assert (before, len([t for t in threading.enumerate() if t.name == "xengt-probe"])) == (1, 1)


def test_a_reload_may_change_to_an_address_that_includes_the_present_one(run_agent, caplog):
    address = run_agent("[probe]\nenabled = false")
    port = address.rpartition(":")[2]
    for host_name in ("0.0.0.0", "127.0.0.1"):  # noqa: S104
        text = f"[listen]\naddress = '{host_name}'\nport = {port}\n[probe]\nenabled = false"
        assert reload(run_agent, caplog, text), caplog.text
        assert run_agent.addresses[-1] == f"{host_name}:{port}"
        assert "xengt_domains" in scrape(address)


def test_counters_and_histograms_continue_after_a_reload(run_agent, fake_probes, xen, caplog):
    """Those of what the configuration removes disappear."""
    failing = threading.Event()

    def before_mapping(_setup):
        if failing.is_set():
            failing.clear()
            raise FailedError("cannot map")

    fake_probes.before_mapping = before_mapping
    text = "[listen]\nport = 0\n[probe]\nengines = ['hypercall']\ninterval_s = 0.05\n"
    run_agent(text.removeprefix("[listen]\nport = 0\n"))
    assert wait_until(lambda: "xengt_xenstore_up 1\n" in scrape(run_agent.addresses[-1]))
    xen.store.nodes["/local/domain/9/name"] = b"new"
    xen.store.changed("@introduceDomain")
    introduced = ("xengt_domain_changes_total", ("change", "introduced"))
    assert wait_until(lambda: counts(run_agent.addresses[-1])[introduced] == 1)
    failing.set()
    failed = ("xengt_probe_errors_total", ("status", "none"))
    assert wait_until(lambda: counts(run_agent.addresses[-1])[failed] == 1)
    rounds = ("xengt_probe_rounds_total",)
    for changed in ("", "calls = 7\n", "interval_s = 600\n", "batches = [1]\n"):
        assert wait_until(lambda: counts(run_agent.addresses[-1])[rounds] >= 2)
        before = counts(run_agent.addresses[-1])
        new = text.replace("interval_s = 0.05\n", "") if "interval" in changed else text
        assert reload(run_agent, caplog, f"{new}{changed}")
        after = counts(run_agent.addresses[-1])
        for key, value in after.items():
            assert value >= before[key], key
        gone = {dict(labels)["batch"] for _, *labels in before.keys() - after.keys()}
        assert gone == ({"32"} if "batches" in changed else set())
    assert counts(run_agent.addresses[-1])[failed] == 1


def test_a_probe_that_a_reload_does_not_change_is_not_interrupted(run_agent, fake_probes, caplog):
    text = "[probe]\nengines = ['hypercall']\ninterval_s = 0.05\n"
    run_agent(text)
    assert wait_until(lambda: any(each.name == "xengt-probe" for each in threading.enumerate()))
    (probe,) = (each for each in threading.enumerate() if each.name == "xengt-probe")
    assert reload(run_agent, caplog, f"[listen]\nport = 0\n{text}[host]\ndomains = 1\n")
    assert 'domid="7"' not in scrape(run_agent.addresses[-1])
    assert probe.is_alive()
    assert fake_probes.clean_ups
    assert FakeGranter.created == 1


def test_the_kernels_histograms_continue_after_a_reload(
    run_agent, fake_tracefs, guard_output, caplog
):
    text = "[probe]\nenabled = false\n[passive]\nenabled = true\n"
    run_agent(text)
    for operation in tracefs.OPERATIONS:
        tracefs.histogram_file(operation).write_text(captured_histogram(operation))
    before, writes = counts(run_agent.addresses[-1]), list(fake_tracefs.writes)
    assert any(
        key[0] == "xengt_kernel_grant_seconds_count" and value for key, value in before.items()
    )
    assert reload(run_agent, caplog, f"[listen]\nport = 0\n{text}[host]\ndomains = 1\n")
    assert fake_tracefs.writes == writes
    after = counts(run_agent.addresses[-1])
    assert {key for key in before if "kernel" in key[0]} <= after.keys()
    assert all(value >= before[key] for key, value in after.items())
    assert reload(run_agent, caplog, "[listen]\nport = 0\n[probe]\nenabled = false\n")
    assert "xengt_kernel" not in scrape(run_agent.addresses[-1])
    assert fake_tracefs.is_clean()
    assert not guard_output.exists()


def test_every_scrape_is_answered_during_reloads(run_agent, caplog):
    address = run_agent("[probe]\nenabled = false")
    text = f"[listen]\nport = {address.rpartition(':')[2]}\n[probe]\nenabled = false"
    assert reload(run_agent, caplog, text)
    stop, failures = threading.Event(), []

    def scrape_repeatedly():
        while not stop.is_set():
            try:
                assert "xengt_domains" in scrape(address)
            except Exception as error:  # noqa: BLE001
                failures.append(error)

    scraping = [threading.Thread(target=scrape_repeatedly) for _ in range(4)]
    for each in scraping:
        each.start()
    try:
        for domains in range(5):
            assert reload(run_agent, caplog, f"{text}\n[host]\ndomains = {domains}")
    finally:
        stop.set()
        for each in scraping:
            each.join()
    assert failures == []


def test_a_connection_that_has_had_no_answer_gets_one_after_a_reload(run_agent, caplog):
    address = run_agent("[probe]\nenabled = false")
    text = f"[listen]\nport = {address.rpartition(':')[2]}\n[probe]\nenabled = false"
    connection = connect(address)
    connection.connect()
    assert wait_until(lambda: any("request" in each.name for each in threading.enumerate()))
    assert reload(run_agent, caplog, text)
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Connection"]) == (200, "close")
    assert b"xengt_domains" in answer.read()
    connection.close()


def test_a_connection_that_a_reload_leaves_open_is_closed_when_its_time_is_over(
    run_agent, caplog, monkeypatch
):
    monkeypatch.setattr(service, "_TICK_S", 0.1)
    monkeypatch.setattr(connections, "FIRST_REQUEST_S", 0.5)
    address = run_agent("[probe]\nenabled = false")
    connection = connect(address)
    connection.connect()
    assert wait_until(lambda: any("request" in each.name for each in threading.enumerate()))
    assert reload(run_agent, caplog, "[listen]\nport = 0\n[probe]\nenabled = false")
    assert connection.sock.recv(1) == b""
    connection.close()


def test_a_reload_with_open_connections_is_carried_out_without_further_threads(
    run_agent, caplog, monkeypatch
):
    """The unit limits them (TasksMax=), and several reloads may follow each other."""

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(service, "_TICK_S", 0.1)
    address = run_agent("[probe]\nenabled = false")
    connection = connect(address)
    connection.connect()
    assert wait_until(lambda: any("request" in each.name for each in threading.enumerate()))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert reload(run_agent, caplog, "[listen]\nport = 0\n[probe]\nenabled = false")
    assert wait_until(lambda: "xengt-http" in {each.name for each in threading.enumerate()})
    assert "xengt_domains" in scrape(run_agent.addresses[-1])
    assert run_agent.thread.is_alive()
    connection.close()
