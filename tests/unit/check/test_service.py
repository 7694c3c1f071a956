"""`xengt check` of the service: its unit, its configuration and its port."""

import http.server
import socket
import subprocess
import threading

import pytest

from xengt.check import State, service
from xengt.serve.config import Listen

RUNNING = {
    "LoadState": "loaded",
    "UnitFileState": "enabled",
    "ActiveState": "active",
    "Result": "success",
    "ExecMainStatus": "0",
    "StatusText": "listening on 127.0.0.1:9805",
}
FAILED = RUNNING | {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "2"}
STOPPED = RUNNING | {"ActiveState": "inactive", "StatusText": ""}


class MetricsHandler(http.server.BaseHTTPRequestHandler):
    """Serves a page at /metrics only."""

    def do_GET(self):
        self.send_response(200 if self.path == "/metrics" else 404)
        self.end_headers()
        self.wfile.write(b"xengt_domains 1\n")

    def log_message(self, *_):
        pass


@pytest.fixture
def open_port():
    """The port of a server of metrics."""
    server = http.server.HTTPServer(("127.0.0.1", 0), MetricsHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def closed_port():
    """A port without a server."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.mark.parametrize(
    ("properties", "state", "message"),
    [
        (RUNNING, State.OK, "active, enabled: listening on 127.0.0.1:9805"),
        (FAILED, State.WARNING, "failed (exit-code, exit code 2), enabled"),
        (STOPPED, State.WARNING, "inactive, enabled"),
        (STOPPED | {"UnitFileState": "disabled"}, State.OK, "systemctl enable --now"),
        (STOPPED | {"Result": "exec-condition"}, State.OK, "because this is not a dom0"),
        (RUNNING | {"ActiveState": "activating", "Result": "watchdog"}, State.WARNING, "watchdog"),
    ],
)
def test_the_state_of_the_unit(properties, state, message):
    check = service.unit(properties)
    assert check.state is state
    assert message in check.what
    assert ("journalctl" in check.remedy) == (state is State.WARNING)


def checks(monkeypatch, tmp_path, properties, text):
    file = tmp_path / "serve.toml"
    file.write_text(text)
    monkeypatch.setattr(service, "read_properties", lambda: properties)
    return {check.name: check for check in service.run(file)}


@pytest.mark.parametrize("properties", [{}, {"LoadState": "not-found", "ActiveState": "inactive"}])
def test_without_a_unit_there_is_one_check(monkeypatch, tmp_path, properties):
    (check,) = checks(monkeypatch, tmp_path, properties, "").values()
    assert check.state is State.OK


def test_a_running_service_is_ok(monkeypatch, tmp_path, open_port):
    found = checks(monkeypatch, tmp_path, RUNNING, f"[listen]\nport = {open_port}")
    assert [check.state for check in found.values()] == [State.OK] * 3
    assert found["service port"].what == (
        f"the agent at 127.0.0.1:{open_port} answers with a page of 16 bytes"
    )


def test_an_invalid_configuration_is_missing_and_its_key_is_named(monkeypatch, tmp_path):
    invalid = checks(monkeypatch, tmp_path, FAILED, "a")["service configuration"]
    assert invalid.remedy == "See xengt-serve.toml(5)."
    found = checks(monkeypatch, tmp_path, FAILED, "[listen]\nport = 70000")
    assert list(found) == ["service", "service configuration"]
    check = found["service configuration"]
    assert check.state is State.MISSING
    assert check.what.endswith("listen.port must be an integer from 0 to 65535, not 70000")
    assert check.remedy == "See xengt-serve.toml(5)."


def test_an_agent_that_does_not_answer_is_a_warning(monkeypatch, tmp_path, closed_port):
    found = checks(monkeypatch, tmp_path, RUNNING, f"[listen]\nport = {closed_port}")
    assert found["service port"].state is State.WARNING
    assert f"the agent does not answer at 127.0.0.1:{closed_port}" in found["service port"].what
    assert "service port" not in checks(monkeypatch, tmp_path, STOPPED, "")


def test_an_http_error_is_a_warning(open_port, monkeypatch):
    monkeypatch.setattr(MetricsHandler, "do_GET", lambda self: self.send_error(500))
    check = service.port(Listen(port=open_port))
    assert (check.state, check.what) == (
        State.WARNING,
        f"the agent at 127.0.0.1:{open_port} answers with HTTP status 500",
    )


def test_with_tls_only_a_connection_is_checked(open_port, closed_port):
    for listen in (Listen(port=open_port, certificate="x"), Listen(port=open_port, web_config="x")):
        check = service.port(listen)
        assert (check.state, check.what.endswith("TLS is not checked")) == (State.OK, True)
    assert service.port(Listen(port=closed_port, certificate="x")).state is State.WARNING


def test_properties_come_from_systemctl(monkeypatch):
    def answer(command, **_):
        assert command[:3] == ["systemctl", "show", "xengt.service"]
        return subprocess.CompletedProcess(command, 0, "LoadState=loaded\nStatusText=a=b\n", "")

    monkeypatch.setattr(service.subprocess, "run", answer)
    assert service.read_properties() == {"LoadState": "loaded", "StatusText": "a=b"}


@pytest.mark.parametrize(
    "error",
    [FileNotFoundError(2, "x"), subprocess.CalledProcessError(1, "x"),
     subprocess.TimeoutExpired("x", 1)],
)  # fmt: skip
def test_without_systemd_there_are_no_properties(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(service.subprocess, "run", fail)
    assert service.read_properties() == {}
