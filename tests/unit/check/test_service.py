"""What `xengt check` says of the service: whether it runs, and what it lacks."""

import http.server
import socket
import subprocess
import threading

import pytest

from xengt.check import State, service
from xengt.serve.config import Listen

RUNS = {
    "LoadState": "loaded",
    "UnitFileState": "enabled",
    "ActiveState": "active",
    "Result": "success",
    "ExecMainStatus": "0",
    "StatusText": "listening on 127.0.0.1:9805",
}
FAILED = RUNS | {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "2"}
STOPPED = RUNS | {"ActiveState": "inactive", "StatusText": ""}


class Answer(http.server.BaseHTTPRequestHandler):
    """A page at /metrics, and nothing else."""

    def do_GET(self):
        self.send_response(200 if self.path == "/metrics" else 404)
        self.end_headers()
        self.wfile.write(b"xengt_domains 1\n")

    def log_message(self, *_):
        pass


@pytest.fixture
def answering():
    """The port of a server."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def nobody():
    """A port that nobody listens on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.mark.parametrize(
    ("told", "state", "said"),
    [
        (RUNS, State.OK, "active, enabled: listening on 127.0.0.1:9805"),
        (FAILED, State.WARNING, "failed (exit-code, exit code 2), enabled"),
        (STOPPED, State.WARNING, "inactive, enabled"),
        (STOPPED | {"UnitFileState": "disabled"}, State.OK, "systemctl enable --now"),
        (STOPPED | {"Result": "exec-condition"}, State.OK, "no dom0"),
        (RUNS | {"ActiveState": "activating", "Result": "watchdog"}, State.WARNING, "watchdog"),
    ],
)
def test_how_the_unit_is(told, state, said):
    check = service.unit(told)
    assert check.state is state
    assert said in check.what
    assert ("journalctl" in check.remedy) == (state is State.WARNING)


def lines(monkeypatch, tmp_path, told, text):
    file = tmp_path / "serve.toml"
    file.write_text(text)
    monkeypatch.setattr(service, "properties", lambda: told)
    return {check.name: check for check in service.run(file)}


@pytest.mark.parametrize("told", [{}, {"LoadState": "not-found", "ActiveState": "inactive"}])
def test_without_a_unit_it_is_one_line(monkeypatch, tmp_path, told):
    (check,) = lines(monkeypatch, tmp_path, told, "").values()
    assert check.state is State.OK


def test_all_is_well(monkeypatch, tmp_path, answering):
    found = lines(monkeypatch, tmp_path, RUNS, f"[listen]\nport = {answering}")
    assert [check.state for check in found.values()] == [State.OK] * 3
    assert found["service port"].what == f"127.0.0.1:{answering} answers, with 16 bytes"


def test_a_wrong_configuration_is_missing_and_the_key_is_named(monkeypatch, tmp_path):
    assert lines(monkeypatch, tmp_path, FAILED, "a")["service configuration"].remedy == service.HELP
    found = lines(monkeypatch, tmp_path, FAILED, "[listen]\nport = 70000")
    assert list(found) == ["service", "service configuration"]
    check = found["service configuration"]
    assert check.state is State.MISSING
    assert "listen.port = 70000" in check.what
    assert "from 0 to 65535" in check.remedy


def test_a_port_that_does_not_answer(monkeypatch, tmp_path, nobody):
    found = lines(monkeypatch, tmp_path, RUNS, f"[listen]\nport = {nobody}")
    assert found["service port"].state is State.WARNING
    assert f"127.0.0.1:{nobody} does not answer" in found["service port"].what
    assert "service port" not in lines(monkeypatch, tmp_path, STOPPED, "")


def test_a_port_that_answers_something_else(answering, monkeypatch):
    monkeypatch.setattr(Answer, "do_GET", lambda self: self.send_error(500))
    check = service.port(Listen(port=answering))
    assert (check.state, check.what) == (State.WARNING, f"127.0.0.1:{answering} answers 500")


def test_with_tls_it_is_only_connected_to(answering, nobody):
    check = service.port(Listen(port=answering, certificate="x"))
    assert (check.state, check.what.endswith("with TLS")) == (State.OK, True)
    assert service.port(Listen(port=nobody, certificate="x")).state is State.WARNING


def test_systemd_is_asked(monkeypatch):
    def answer(command, **_):
        assert command[:3] == ["systemctl", "show", "xengt.service"]
        return subprocess.CompletedProcess(command, 0, "LoadState=loaded\nStatusText=a=b\n", "")

    monkeypatch.setattr(service.subprocess, "run", answer)
    assert service.properties() == {"LoadState": "loaded", "StatusText": "a=b"}


@pytest.mark.parametrize(
    "error",
    [FileNotFoundError(2, "x"), subprocess.CalledProcessError(1, "x"),
     subprocess.TimeoutExpired("x", 1)],
)  # fmt: skip
def test_where_systemd_does_not_run_there_is_nothing_to_ask(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(service.subprocess, "run", fail)
    assert service.properties() == {}
