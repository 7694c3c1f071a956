"""The HTTP server: TLS, compression, persistent connections, silent clients."""

import gzip
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from contextlib import suppress
from http.client import HTTPConnection, HTTPSConnection
from threading import Event

import pytest

from tests.patience import patient
from tests.unit.agent_fixtures import host_samples, run_agent, signals_blocked, xen
from xengt.errors import UnmetError
from xengt.serve import http
from xengt.serve.config import Listen
from xengt.serve.http import http_server

__all__ = ["host_samples", "run_agent", "signals_blocked", "xen"]  # fixtures


@pytest.fixture
def certificates(tmp_path):
    """A directory with a self-signed certificate of 127.0.0.1, `crt`, and its key, `key`."""
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "crt")]
    subprocess.run([*words, *names, *files], check=True, capture_output=True)
    return tmp_path


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
    with pytest.raises(UnmetError, match="cannot set up TLS") as caught, http_server(listen, str):
        pass
    assert str(tmp_path / "crt") in caught.value.what
    assert "PEM" in caught.value.remedy


def test_a_silent_client_does_not_delay_others(certificates):
    """Even with TLS, whose handshake each connection does in its own thread."""
    files = (str(certificates / "crt"), str(certificates / "key"))
    with http_server(
        Listen("127.0.0.1", 0, *files), lambda _accept: (b"x 1\n", "text/plain")
    ) as address:
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
    timeout = http._SILENCE_TIMEOUT_S / 2  # before the agent disconnects a silent client
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
    with http_server(Listen("127.0.0.1", 0, *files), lambda _: (b"x 1\n", "text/plain")) as address:
        connection = persistent_connection(address, *files[:1])
    with suppress(ssl.SSLError):  # it closes without a TLS close_notify
        assert connection.sock.recv(1) == b""
    connection.close()


def test_a_page_in_progress_is_sent_before_the_connection_is_closed():
    requested, proceed = Event(), Event()

    def page(_accept: str) -> tuple[bytes, str]:
        requested.set()
        proceed.wait(patient(10))
        return b"x 1\n", "text/plain"

    with http_server(Listen("127.0.0.1", 0), page) as address:
        host_name, _, port = address.partition(":")
        connection = HTTPConnection(host_name, int(port), timeout=patient(10))
        connection.request("GET", "/metrics")
        assert requested.wait(patient(10))
    proceed.set()
    answer = connection.getresponse()
    assert (answer.read(), answer.headers["Connection"]) == (b"x 1\n", "close")


@pytest.mark.parametrize("tls", [True, False])
def test_a_client_that_stays_silent_is_disconnected(request, monkeypatch, tls):
    monkeypatch.setattr(http, "_SILENCE_TIMEOUT_S", 0.3)
    monkeypatch.setattr(http._Handler, "timeout", 0.3)
    files = [str(request.getfixturevalue("certificates") / f) for f in ("crt", "key")] * tls
    with http_server(Listen("127.0.0.1", 0, *files), lambda _: (b"", "")) as address:
        host_name, _, port = address.partition(":")
        with socket.create_connection((host_name, int(port)), timeout=patient(10)) as silent:
            assert silent.recv(100) == b""


def test_a_connection_serves_compressed_pages_and_404_for_other_paths():
    pages = iter([b"x 1\n", b"x 2\n"])
    with http_server(Listen("::1", 0), lambda accept: (next(pages), accept)) as address:
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
