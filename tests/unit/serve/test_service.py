"""The agent as a process: how it starts, changes and ends, and what systemd is told."""

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

import jsonschema
import pytest

from tests.patience import patient
from tests.unit.serving import blocked, probing, running, scraped, told, written
from tests.unit.usage_stand_ins import xen
from tests.unit.waiting import waits_until
from xengt.documents.schemas import load
from xengt.errors import FailedError, UnmetError
from xengt.serve import sd_notify, service
from xengt.xen import preflight

__all__ = ["blocked", "probing", "running", "told", "xen"]  # fixtures


def test_it_serves_until_sigterm(running):
    address = running("[probe]\nenabled = false")
    page = scraped(address)
    assert re.search(r'^xengt_grant_frames\{domid="7"\} 2$', page, re.MULTILINE)
    assert "process_resident_memory_bytes" in page
    assert "xengt_probe" not in page
    began = time.monotonic()
    os.kill(os.getpid(), signal.SIGTERM)
    running.thread.join(patient(10))
    assert time.monotonic() - began < patient(2)
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

    monkeypatch.setattr(preflight, "require_dom0", require)
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
    sd_notify.notify("READY=1")
    monkeypatch.setenv("WATCHDOG_USEC", "5000000")
    assert sd_notify.watchdog_s() == 5
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert sd_notify.watchdog_s() is None


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


# the command


def test_the_command_says_where_it_listens(tmp_path):
    code = (
        "import os\n"
        "from xengt import cli\n"
        "from xengt.xen import preflight\n"
        "from xengt.serve.metrics import host_metrics\n"
        "preflight.require_dom0 = lambda engines: None\n"
        "host_metrics.read_usage = lambda: 1 / 0\n"
        "cli.main()\n"
    )
    file = written(tmp_path, "[listen]\nport = 0\n[probe]\nenabled = false")
    words = ["python3", "-c", code, "serve", "--json", "--config", str(file)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as process:
        said = json.loads(process.stdout.readline())
        jsonschema.validate(said, load("serve"))
        host_name, _, port = said["address"].partition(":")
        socket.create_connection((host_name, int(port)), timeout=patient(10)).close()
        process.terminate()
        assert process.wait(timeout=patient(10)) == 0


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [("[probe]\ncalls = 3", 0, ""), ("[probe]\ncals = 3", 2, "probe.cals cannot be")],
)
def test_a_dry_run_judges_the_configuration_and_needs_no_xen(tmp_path, text, code, said):
    words = ["python3", "-m", "xengt", "serve", "--dry-run", "--config", written(tmp_path, text)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=patient(60), check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert bool(done.stderr) == bool(said)
