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
    fake_probes,
    host_samples,
    reload,
    run_agent,
    scrape,
    signals_blocked,
    write_config,
    xen,
)
from tests.unit.fake_tracefs import guard_output
from tests.unit.http_fixtures import certificates
from tests.unit.waiting import wait_until
from xengt import __version__
from xengt.errors import FailedError, UnmetError
from xengt.serve import agent, sd_notify, service
from xengt.serve.http import endpoint
from xengt.serve.http.listener import AddressUnavailableError

__all__ = [  # fixtures
    "certificates",
    "fake_probes",
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


def test_deprecated_keys_are_logged(run_agent, certificates, caplog):
    crt, key = (certificates / name for name in ("crt", "key"))
    run_agent(f"certificate = '{crt}'\nkey = '{key}'\n[probe]\nenabled = false")
    for name, replacement in (("certificate", "cert_file"), ("key", "key_file")):
        assert f"listen.{name} is deprecated" in caplog.text
        assert f"tls_server_config.{replacement}" in caplog.text


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

    monkeypatch.setattr(agent, "require_dom0", require)
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
    assert systemd() == f"READY=1\nSTATUS=not probing, listening on {address}"
    alive = f"WATCHDOG=1\nSTATUS=not probing, listening on {address}"
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


def test_frequent_reloads_do_not_starve_the_watchdog(run_agent, systemd, monkeypatch, caplog):
    """Each comes before the agent has waited for as long as the watchdog permits."""
    monkeypatch.setenv("WATCHDOG_USEC", "600000000")
    monkeypatch.setattr(service, "_TICK_S", 300)
    run_agent("[probe]\nenabled = false")
    for _ in range(3):
        assert reload(run_agent, caplog, "[listen]\nport = 0\n[probe]\nenabled = false")
        while not systemd().startswith("RELOADING=1"):
            pass
        assert systemd().startswith("READY=1")
        assert systemd().startswith("WATCHDOG=1")


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
    waiting = "STATUS=not probing, waiting: cannot listen on 127.0.0.1:0: no such address"
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
    status = f"STATUS=not probing, listening on {address}"
    assert not reload(run_agent, caplog, "[listen]\nport = 'x'")
    while not systemd().startswith(f"READY=1\n{status}; the last reload failed: "):
        pass
    assert reload(run_agent, caplog, "[listen]\nport = 0\n[probe]\nenabled = false")
    status = f"STATUS=not probing, listening on {run_agent.addresses[-1]}"
    while systemd() != f"READY=1\n{status}":
        pass


# the command


def test_the_command_prints_the_listening_address(tmp_path):
    code = (
        "import os\n"
        "from xengt import cli\n"
        "from xengt.xen import preflight\n"
        "from xengt.serve.metrics import host_metrics\n"
        "preflight.require_control_domain = lambda: None\n"
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
