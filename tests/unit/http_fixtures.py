"""A server of the agent with a fixed page, and certificates for it."""

import subprocess
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.patience import patient
from xengt.serve.config import Listen
from xengt.serve.http.compression import Part
from xengt.serve.http.endpoint import Endpoint

#: configuration of `openssl ca`, the only command of OpenSSL 3.0 that sets both dates
_CA = """
[ca]
default_ca = ca
[ca]
database = {directory}/database
new_certs_dir = {directory}
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
"""


def make_certificate(directory: Path, name: str = "") -> None:
    """Write a self-signed certificate of 127.0.0.1 and its key.

    The files are `crt` and `key`, each with a name appended.
    """
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:client"]
    files = ["-keyout", str(directory / f"key{name}"), "-out", str(directory / f"crt{name}")]
    subprocess.run([*words, *names, *files], check=True, capture_output=True)


def expire(directory: Path) -> None:
    """Replace the certificate by one of the same key that has expired."""
    (directory / "database").write_text("")
    config, request_file = directory / "ca.cnf", directory / "csr"
    config.write_text(_CA.format(directory=directory))
    key, crt = directory / "key", directory / "crt"
    ask = ["req", "-new", "-key", key, "-subj", "/CN=127.0.0.1", "-out", request_file]
    dates = ["-startdate", "20200101000000Z", "-enddate", "20200102000000Z"]
    sign = ["ca", "-batch", "-selfsign", "-config", config, "-keyfile", key, *dates]
    for words in (ask, [*sign, "-in", request_file, "-out", crt, "-notext"]):
        subprocess.run(["openssl", *words], check=True, capture_output=True)


@pytest.fixture
def certificates(tmp_path):
    """A directory with a self-signed certificate of 127.0.0.1, `crt`, and its key, `key`."""
    make_certificate(tmp_path)
    return tmp_path


def short_page(_accept):
    """Render a page with one sample."""
    return [Part(b"x 1\n")], "text/plain"


@contextmanager
def serving(listen=None, render=short_page, problem=lambda: None):
    """Serve a page while the context lasts; yields the address."""
    content = SimpleNamespace(render_page=render, problem=problem)
    endpoint = Endpoint(listen or Listen("127.0.0.1", 0), content, lambda _address: None)
    try:
        yield endpoint.address
    finally:
        endpoint.stop()


def connect(address: str) -> HTTPConnection:
    """Return a connection to an IPv4 address and port."""
    host_name, _, port = address.partition(":")
    return HTTPConnection(host_name, int(port), timeout=patient(10))


def request(address, path="/metrics", method="GET", headers=None):
    """Return the answer to one request; its content is in `text`."""
    connection = connect(address)
    connection.request(method, path, headers=headers or {})
    answer = connection.getresponse()
    answer.text = answer.read().decode()
    connection.close()
    return answer
