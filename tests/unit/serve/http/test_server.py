"""The HTTP server: TLS, compression, persistent connections, silent clients."""

import errno
import gzip
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from http.client import HTTPConnection, HTTPSConnection, RemoteDisconnected
from threading import Event, Semaphore

import pytest

from tests.patience import patient
from tests.unit.agent_fixtures import host_samples, run_agent, signals_blocked, xen
from tests.unit.http_fixtures import certificates, connect, request, serving, short_page
from tests.unit.waiting import wait_until
from xengt.errors import UnmetError
from xengt.serve.config import Listen
from xengt.serve.http import connections, server
from xengt.serve.http.compression import Part

__all__ = ["certificates", "host_samples", "run_agent", "signals_blocked", "xen"]  # fixtures


def test_with_a_client_ca_only_clients_with_a_certificate_get_a_page(run_agent, certificates):
    crt, key = (certificates / name for name in ("crt", "key"))
    address = run_agent(
        f"certificate = '{crt}'\nkey = '{key}'\nclient_ca = '{crt}'\n[probe]\nenabled = false"
    )
    curl = ["curl", "--silent", "--show-error", "--cacert", str(crt), f"https://{address}/metrics"]
    without = subprocess.run(curl, capture_output=True, text=True, check=False)
    assert without.returncode != 0
    with_certificate = [*curl, "--cert", str(crt), "--key", str(key)]
    done = subprocess.run(with_certificate, capture_output=True, text=True, check=False)
    assert "xengt_domains 2\n" in done.stdout, done.stderr


def test_an_invalid_certificate_is_an_error(tmp_path):
    for name in ("crt", "key"):
        (tmp_path / name).write_text("none")
    listen = Listen("127.0.0.1", 0, str(tmp_path / "crt"), str(tmp_path / "key"))
    with pytest.raises(UnmetError, match="cannot set up TLS") as caught, serving(listen, str):
        pass
    assert str(tmp_path / "crt") in caught.value.what
    assert "PEM" in caught.value.remedy


def test_a_silent_client_does_not_delay_others(certificates):
    """Even with TLS, whose handshake each connection does in its own thread."""
    files = (str(certificates / "crt"), str(certificates / "key"))
    with serving(Listen("127.0.0.1", 0, *files)) as address:
        host_name, _, port = address.partition(":")
        with socket.create_connection((host_name, int(port))):
            context = ssl.create_default_context(cafile=files[0])
            with urllib.request.urlopen(
                f"https://{address}/metrics", timeout=patient(10), context=context
            ) as answer:
                assert answer.read() == b"x 1\n"


def persistent_connection(address: str, cafile: str | None = None) -> HTTPConnection:
    """Return an open connection, as Prometheus has one, after one request."""
    host_name, _, port = address.partition(":")
    timeout = connections.NEXT_REQUEST_S / 2  # before the agent disconnects a silent client
    if cafile is None:
        connection = HTTPConnection(host_name, int(port), timeout=timeout)
    else:
        context = ssl.create_default_context(cafile=cafile)
        connection = HTTPSConnection(host_name, int(port), timeout=timeout, context=context)
    connection.request("GET", "/metrics")
    connection.getresponse().read()
    return connection


@pytest.mark.parametrize("tls", [True, False])
def test_a_connection_does_not_outlive_its_configuration(request, tls):
    files = [str(request.getfixturevalue("certificates") / f) for f in ("crt", "key")] * tls
    with serving(Listen("127.0.0.1", 0, *files)) as address:
        connection = persistent_connection(address, *files[:1])
    with suppress(ssl.SSLError):  # it closes without a TLS close_notify
        assert connection.sock.recv(1) == b""
    connection.close()


def test_a_page_in_progress_is_sent_before_the_connection_is_closed():
    requested, proceed = Event(), Event()

    def page(accept):
        requested.set()
        proceed.wait(patient(10))
        return short_page(accept)

    with serving(Listen("127.0.0.1", 0), page) as address:
        host_name, _, port = address.partition(":")
        connection = HTTPConnection(host_name, int(port), timeout=patient(10))
        connection.request("GET", "/metrics")
        assert requested.wait(patient(10))
    proceed.set()
    answer = connection.getresponse()
    assert (answer.read(), answer.headers["Connection"]) == (b"x 1\n", "close")


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\nX: "])
def test_a_client_that_does_not_complete_a_request_is_disconnected(request, monkeypatch, tls, sent):
    monkeypatch.setattr(connections, "FIRST_REQUEST_S", 0.3)
    files = [str(request.getfixturevalue("certificates") / f) for f in ("crt", "key")] * tls
    with serving(Listen("127.0.0.1", 0, *files)) as address:
        host_name, _, port = address.partition(":")
        with socket.create_connection((host_name, int(port)), timeout=patient(10)) as silent:
            silent.send(sent)
            with suppress(ConnectionResetError):
                assert silent.recv(100) == b""


def test_a_client_that_sends_a_byte_now_and_then_is_disconnected(monkeypatch):
    monkeypatch.setattr(connections, "FIRST_REQUEST_S", 0.3)
    with serving() as address:
        host_name, _, port = address.partition(":")
        slow = socket.create_connection((host_name, int(port)), timeout=patient(10))

        def send_slowly():
            with suppress(OSError):
                while True:
                    slow.send(b"x")
                    time.sleep(0.05)

        sending = threading.Thread(target=send_slowly)
        sending.start()
        with suppress(ConnectionResetError):
            assert slow.recv(100) == b""
        slow.close()
        sending.join()


def test_a_persistent_connection_that_stays_idle_is_disconnected(monkeypatch):
    monkeypatch.setattr(connections, "NEXT_REQUEST_S", 0.3)
    with serving() as address:
        connection = connect(address)
        connection.request("GET", "/metrics")
        assert connection.getresponse().read() == b"x 1\n"
        assert connection.sock.recv(1) == b""
        connection.close()


def threads() -> int:
    return threading.active_count()


def test_idle_connections_keep_nobody_from_a_page():
    """Many are opened; those that have waited longest are closed."""
    before = threads()
    with serving() as address, ExitStack() as stack:
        host_name, _, port = address.partition(":")
        for _ in range(3 * connections.LIMIT):
            idle = socket.create_connection((host_name, int(port)), timeout=patient(10))
            stack.enter_context(idle)
        for _ in range(5):
            assert request(address).text == "x 1\n"
        assert threads() <= before + 1 + connections.LIMIT
    assert wait_until(lambda: threads() <= before)


def test_a_connection_is_refused_while_all_others_are_in_use(caplog):
    entered, proceed = Semaphore(0), Event()

    def page(accept):
        entered.release()
        proceed.wait(patient(10))
        return short_page(accept)

    with serving(render=page) as address, ExitStack() as stack:
        stack.callback(proceed.set)
        busy = [connect(address) for _ in range(connections.LIMIT)]
        for each in busy:
            each.request("GET", "/metrics")
            assert entered.acquire(timeout=patient(10))
        for _ in range(2):
            refused = request(address)
            assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert caplog.text.count("further ones, the first from 127.0.0.1, are refused") == 1
        proceed.set()
        for each in busy:
            assert each.getresponse().read() == b"x 1\n"
            each.close()
        assert request(address).status == 200


def test_without_file_descriptors_the_agent_waits(monkeypatch, caplog):
    """It neither ends nor loops, and serves once there are some."""
    failures = []

    def accept(listener):
        if len(failures) < 3:
            failures.append(time.monotonic())
            raise OSError(errno.EMFILE, "Too many open files")
        return real(listener)

    real = socket.socket.accept
    monkeypatch.setattr(socket.socket, "accept", accept)
    monkeypatch.setattr(server, "_NO_RESOURCES_PAUSE_S", 0.1)
    with serving() as address:
        assert request(address).text == "x 1\n"
    assert failures[2] - failures[0] >= 0.2
    assert "cannot accept a connection: Too many open files" in caplog.text


def test_without_threads_a_connection_is_closed_and_the_next_is_served(monkeypatch):
    real, failures = threading.Thread.start, []

    def start(thread):
        if "process_request_thread" in str(thread._target) and not failures:
            failures.append(thread)
            raise RuntimeError("can't start new thread")
        real(thread)

    with serving() as address:
        monkeypatch.setattr(threading.Thread, "start", start)
        with pytest.raises((ConnectionError, RemoteDisconnected)):
            request(address)
        assert request(address).text == "x 1\n"


def test_a_connection_serves_compressed_pages_and_404_for_other_paths():
    pages = iter([[Part(b"x 1\n")], [Part(b"x "), Part(b"2\n")]])
    with serving(Listen("::1", 0), lambda accept: (next(pages), accept)) as address:
        host_name, _, port = address.rpartition(":")
        assert host_name == "[::1]"
        connection = HTTPConnection("::1", int(port), timeout=patient(10))
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
