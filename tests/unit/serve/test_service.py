"""The agent as a process: start, reload, stop, and its notifications to systemd."""

import json
import os
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
    run_agent,
    scrape,
    signals_blocked,
    write_config,
    xen,
)
from tests.unit.waiting import wait_until
from xengt import __version__
from xengt.errors import FailedError, UnmetError
from xengt.serve import sd_notify, service
from xengt.xen import preflight

__all__ = ["fake_probes", "host_samples", "run_agent", "signals_blocked", "xen"]  # fixtures


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
    """A function that returns the next notification to systemd."""
    path = tmp_path / "notify"
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(path))
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))

    def receive(seconds=10):
        receiver.settimeout(seconds)
        return receiver.recv(4096).decode()

    yield receive
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
    monkeypatch.setattr(service, "_PROBE_STUCK_S", 0.5)
    stuck = threading.Event()
    fake_probes.before_mapping = lambda _setup: stuck.wait(20)
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
    except TimeoutError:
        return None


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
