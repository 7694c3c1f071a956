"""The agent as a process: start, reload, stop, and its notifications to systemd."""

import json
import logging
import os
import queue
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.patience import patient
from tests.unit.agent_fixtures import (
    FakeGranter,
    fake_probes,
    host_samples,
    run_agent,
    scrape,
    signals_blocked,
    write_config,
    xen,
)
from tests.unit.exposition import samples
from tests.unit.fake_tracefs import captured_histogram, fake_tracefs, guard_output
from tests.unit.http_fixtures import certificates, connect, expire, make_certificate, request
from tests.unit.waiting import wait_until
from xengt import __version__
from xengt.errors import FailedError, UnmetError
from xengt.serve import agent, sd_notify, service
from xengt.serve.domain_names import DomainNames
from xengt.serve.http import endpoint
from xengt.serve.http.listener import AddressUnavailableError
from xengt.serve.http.server import Server
from xengt.serve.passive import tracefs
from xengt.xen import preflight

__all__ = [  # fixtures
    "certificates",
    "fake_probes",
    "fake_tracefs",
    "guard_output",
    "host_samples",
    "run_agent",
    "signals_blocked",
    "xen",
]


def test_the_agent_serves_until_sigterm(run_agent):
    address = run_agent("[probe]\nenabled = false")
    page = scrape(address)
    assert f'xengt_build_info{{version="{__version__}"}} 1\n' in page
    assert re.search(r'^xengt_grant_frames\{domid="7"\} 2$', page, re.MULTILINE)
    assert "process_resident_memory_bytes" in page
    assert "xengt_probe" not in page
    began = time.monotonic()
    os.kill(os.getpid(), signal.SIGTERM)
    run_agent.thread.join(patient(10))
    assert time.monotonic() - began < patient(2)
    with pytest.raises(urllib.error.URLError):
        scrape(address)


def test_sighup_reloads_the_configuration(run_agent):
    run_agent("[probe]\nenabled = false\n[host]\ndomains = 1")
    assert 'domid="7"' not in scrape(run_agent.addresses[-1])
    run_agent.config_file.write_text("[listen]\nport = 0\n[probe]\nenabled = false")
    os.kill(os.getpid(), signal.SIGHUP)
    assert wait_until(lambda: len(run_agent.addresses) == 2)
    assert 'domid="7"' in scrape(run_agent.addresses[-1])


def test_an_invalid_configuration_is_not_reloaded(run_agent, caplog):
    address = run_agent("[probe]\nenabled = false")
    run_agent.config_file.write_text("[listen]\nport = 'x'")
    os.kill(os.getpid(), signal.SIGHUP)
    assert wait_until(lambda: "configuration not reloaded" in caplog.text)
    assert "xengt_domains" in scrape(address)
    assert len(run_agent.addresses) == 1


def reload(agent, caplog, text):
    """Reload another configuration; return whether it has been accepted."""
    caplog.set_level(logging.INFO)
    caplog.clear()
    agent.config_file.write_text(text)
    os.kill(os.getpid(), signal.SIGHUP)
    assert wait_until(lambda: "reloaded" in caplog.text)
    return "configuration reloaded" in caplog.text


@pytest.fixture
def taken_port():
    """A port in use by another program."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


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


def counts(address):
    """Return the values of the counters and histograms of a page."""
    ends = ("_total", "_count", "_bucket", "_sum")
    return {
        key: value
        for key, value in samples(scrape(address)).items()
        if key[0].startswith("xengt_") and key[0].endswith(ends)
    }


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


def test_deprecated_keys_are_logged(run_agent, certificates, caplog):
    crt, key = (certificates / name for name in ("crt", "key"))
    run_agent(f"certificate = '{crt}'\nkey = '{key}'\n[probe]\nenabled = false")
    for name, replacement in (("certificate", "cert_file"), ("key", "key_file")):
        assert f"listen.{name} is deprecated" in caplog.text
        assert f"tls_server_config.{replacement}" in caplog.text


# threads that die


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


@pytest.mark.usefixtures("fake_probes")
def test_the_agent_runs_a_probe(run_agent):
    address = run_agent("[probe]\nengines = ['hypercall']\ninterval_s = 0.05")
    assert wait_until(lambda: "xengt_probe_rounds_total 0\n" not in scrape(address))
    os.kill(os.getpid(), signal.SIGTERM)
    run_agent.thread.join(10)
    assert not any(thread.name == "xengt-probe" for thread in threading.enumerate())


def test_the_status_in_xenstore_shows_whether_the_probe_fails(run_agent, fake_probes, xen):
    failing = threading.Event()
    failing.set()

    def before_mapping(_setup):
        if failing.is_set():
            raise FailedError("cannot map")

    def state():
        return xen.store.nodes.get("/local/domain/0/data/xengt/serve/state")

    fake_probes.before_mapping = before_mapping
    run_agent("[probe]\nengines = ['hypercall']\ninterval_s = 0.05")
    assert wait_until(lambda: state() == b"failing")
    failing.clear()
    assert wait_until(lambda: state() == b"probing")


@pytest.mark.usefixtures("fake_probes")
def test_an_engine_that_this_dom0_cannot_run_is_left_out(run_agent, monkeypatch, caplog):
    def require(engines):
        if "hypercall" in engines:
            raise UnmetError("dom0 is PVH", "measure with gntdev")

    monkeypatch.setattr(preflight, "require_dom0", require)
    page = scrape(run_agent("[probe]\ninterval_s = 60"))
    assert 'xengt_probe_up{engine="gntdev"} 1\n' in page
    assert 'xengt_probe_up{engine="hypercall"} 0\n' in page
    assert '_count{engine="hypercall"' not in page
    assert "the probe cannot use the hypercall engine: dom0 is PVH" in caplog.text


def test_a_port_in_use_is_an_error(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = write_config(tmp_path, f"[listen]\nport = {port}\n[probe]\nenabled = false")
        with pytest.raises(UnmetError, match=f"cannot listen on 127.0.0.1:{port}") as caught:
            service.serve(file, lambda _address: None)
    assert "ss -ltnp" in caught.value.remedy


# systemd


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    """A function that returns the next notification to systemd, which receives them at once."""
    path = tmp_path / "notify"
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(path))
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    received = queue.Queue()

    def take():
        while notification := receiver.recv(4096).decode():
            received.put(notification)

    taking = threading.Thread(target=take)
    taking.start()
    yield lambda seconds=None: received.get(timeout=seconds or patient(10))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
        last.sendto(b"", str(path))
    taking.join()
    receiver.close()


def test_systemd_is_notified_of_start_reload_and_stop(run_agent, systemd, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    address = run_agent("[probe]\nenabled = false")
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


def test_without_systemd_no_notification_is_sent(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    sd_notify.notify("READY=1")
    monkeypatch.setenv("WATCHDOG_USEC", "5000000")
    assert sd_notify.watchdog_timeout_s() == 5
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert sd_notify.watchdog_timeout_s() is None


def test_a_stuck_probe_starves_the_watchdog(run_agent, fake_probes, systemd, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "100000")
    monkeypatch.setattr(agent, "_PROBE_STUCK_S", 0.5)
    stuck = threading.Event()
    fake_probes.before_mapping = lambda _setup: stuck.wait(patient(60))
    try:
        run_agent("[probe]\nengines = ['hypercall']")
        assert systemd().startswith("READY=1")
        assert systemd().startswith("WATCHDOG=1\nSTATUS=probing")
        assert wait_until(lambda: not received_within(systemd, 1))
    finally:
        stuck.set()


def received_within(systemd, seconds):
    try:
        return systemd(seconds)
    except queue.Empty:
        return None


def test_the_agent_waits_for_its_address(run_agent, systemd, monkeypatch, caplog):
    """systemd hears that it is ready, so that a boot does not wait, and what it waits for."""
    caplog.set_level(logging.INFO)
    exists, attempts, real = threading.Event(), [], endpoint.open_listener

    def open_listener(listen, *arguments):
        attempts.append(time.monotonic())
        if not exists.is_set():
            raise AddressUnavailableError("cannot listen on 127.0.0.1:0: no such address", "wait")
        return real(listen, *arguments)

    monkeypatch.setattr(endpoint, "open_listener", open_listener)
    monkeypatch.setattr(endpoint, "_FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(endpoint, "_LAST_PAUSE_S", 0.2)
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    run_agent("[probe]\nenabled = false", wait=False)
    waiting = "STATUS=passive, waiting: cannot listen on 127.0.0.1:0: no such address"
    assert systemd() == f"READY=1\n{waiting}"
    assert systemd() == f"WATCHDOG=1\n{waiting}"
    assert wait_until(lambda: len(attempts) >= 7)
    assert attempts[6] - attempts[0] >= 0.05 + 0.1 + 4 * 0.2
    assert caplog.text.count("no such address") == 1
    # A reload that changes something else is in effect, and the agent goes on waiting.
    assert reload(run_agent, caplog, "[listen]\nport = 0\n[probe]\nenabled = false\n[host]")
    assert run_agent.addresses == []
    exists.set()
    assert wait_until(lambda: run_agent.addresses)
    assert "xengt_domains" in scrape(run_agent.addresses[-1])
    assert f"listening on {run_agent.addresses[-1]}" in caplog.text
    while not systemd().endswith(f"listening on {run_agent.addresses[-1]}"):
        pass


def test_the_status_shows_that_a_reload_failed(run_agent, systemd, caplog):
    address = run_agent("[probe]\nenabled = false")
    status = f"STATUS=passive, listening on {address}"
    assert not reload(run_agent, caplog, "[listen]\nport = 'x'")
    while not systemd().startswith(f"READY=1\n{status}; the last reload failed: "):
        pass
    assert reload(run_agent, caplog, "[listen]\nport = 0\n[probe]\nenabled = false")
    status = f"STATUS=passive, listening on {run_agent.addresses[-1]}"
    while systemd() != f"READY=1\n{status}":
        pass


# the command


def test_the_command_prints_the_listening_address(tmp_path):
    code = (
        "import os\n"
        "from xengt import cli\n"
        "from xengt.xen import preflight\n"
        "from xengt.serve.metrics import host_metrics\n"
        "preflight.require_dom0 = lambda engines: None\n"
        "host_metrics.TableReader = lambda: 1 / 0\n"
        "cli.main()\n"
    )
    file = write_config(tmp_path, "[listen]\nport = 0\n[probe]\nenabled = false")
    words = ["python3", "-c", code, "serve", "--json", "--config", str(file)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as process:
        printed = json.loads(process.stdout.readline())
        assert printed["schema"] == "xengt.serve/1"
        host_name, _, port = printed["address"].partition(":")
        socket.create_connection((host_name, int(port)), timeout=patient(10)).close()
        process.terminate()
        assert process.wait(timeout=patient(10)) == 0


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [("[probe]\ncalls = 3", 0, ""), ("[probe]\ncals = 3", 2, "probe.cals is not a known key")],
)
def test_a_dry_run_validates_the_configuration_without_xen(tmp_path, text, code, message):
    config = write_config(tmp_path, text)
    command = ["python3", "-m", "xengt", "serve", "--dry-run", "--config", config]
    done = subprocess.run(command, capture_output=True, text=True, timeout=patient(60), check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert bool(done.stderr) == bool(message)


@pytest.fixture
def dry_run(tmp_path):
    """A function that validates the configuration of a [listen] table."""

    def run(listen):
        words = ["python3", "-m", "xengt", "serve", "--dry-run", "--config"]
        words.append(write_config(tmp_path, f"[listen]\n{listen}"))
        return subprocess.run(
            words, capture_output=True, text=True, timeout=patient(60), check=False
        )

    return run


def test_a_dry_run_detects_an_address_of_another_host(dry_run, taken_port):
    assert dry_run(f"port = {taken_port}").returncode == 0  # perhaps the running agent has it
    done = dry_run("address = '203.0.113.1'")
    assert done.returncode == 2
    assert "cannot listen on 203.0.113.1:9805: Cannot assign requested address" in done.stderr


def test_a_dry_run_validates_the_certificate(dry_run, certificates):
    def validate():
        return dry_run(f"certificate = '{certificates}/crt'\nkey = '{certificates}/key'")

    done = validate()
    assert done.returncode == 0, done.stderr
    assert "listen.certificate is deprecated" in done.stderr
    expire(certificates)
    done = validate()
    assert done.returncode == 2
    assert f"reject the certificate {certificates}/crt: certificate has expired" in done.stderr
    make_certificate(certificates, "2")
    (certificates / "key2").rename(certificates / "key")
    done = validate()
    assert done.returncode == 2
    assert "the key is not the certificate's" in done.stderr


def test_a_dry_run_validates_the_web_configuration(dry_run, certificates):
    file = certificates / "web.yml"
    file.write_text("tls_server_config: {cert_file: crt, key_file: key}")
    done = dry_run(f"web_config = '{file}'")
    assert (done.returncode, done.stderr) == (0, "")
    file.write_text("tls_server_config: {cert_file: crt, key_file: none}")
    done = dry_run(f"web_config = '{file}'")
    assert done.returncode == 2
    assert f"{certificates}/none" in done.stderr
