"""Requests: paths, methods, formats, limits, and nothing of a request in an answer."""

import gzip
import socket
from contextlib import suppress

import pytest

from tests.patience import patient
from tests.unit.http_fixtures import connect, request, serving
from xengt import __version__
from xengt.serve.http import handler
from xengt.serve.http.connections import Connections


def exchange(address: str, sent: bytes) -> bytes:
    """Send bytes, and return everything that the server sends until it closes the connection."""
    host_name, _, port = address.partition(":")
    with socket.create_connection((host_name, int(port)), timeout=patient(10)) as connection:
        with suppress(ConnectionError):
            connection.sendall(sent)
        received = b""
        with suppress(ConnectionError):
            while part := connection.recv(1 << 16):
                received += part
        return received


def test_the_landing_page_links_to_the_other_paths():
    with serving() as address:
        answer = request(address, "/")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert __version__ in answer.text
        for path in ("/metrics", "/-/healthy", "/-/ready"):
            assert f'<a href="{path}">' in answer.text
            assert request(address, path).status == 200


def test_an_agent_with_a_problem_is_healthy_but_not_ready():
    with serving(problem=lambda: "the probe is stuck") as address:
        assert request(address, "/-/healthy").status == 200
        answer = request(address, "/-/ready")
        assert (answer.status, answer.text) == (503, "the probe is stuck\n")


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready", "/nothing"])
def test_head_has_the_headers_of_get_without_content(path):
    with serving() as address:
        connection = connect(address)
        headers = {}
        for method in ("HEAD", "GET"):
            connection.request(method, path)
            answer = connection.getresponse()
            content = answer.read()
            assert bool(content) == (method == "GET")
            headers[method] = {k: v for k, v in answer.getheaders() if k != "Date"}
        assert headers["HEAD"] == headers["GET"]
        assert headers["GET"]["Content-Length"] == str(len(content))
        connection.close()


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods_are_not_allowed(method):
    with serving() as address:
        answer = request(address, method=method)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_the_body_of_a_request_is_not_taken_for_the_next_one():
    body = b"GET /nothing HTTP/1.1\r\n\r\n"
    head = b"Host: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    with serving() as address:
        for method in (b"GET", b"POST"):
            received = exchange(address, method + b" / HTTP/1.1\r\n" + head + body)
            assert received.count(b"HTTP/1.1 ") == 1
            assert b"Connection: close" in received


def test_the_page_is_compressed_only_for_clients_that_accept_it():
    with serving() as address:
        connection = connect(address)
        for accepted, encoding in (("gzip", "gzip"), ("gzip;q=0", None), ("deflate", None)):
            connection.request("GET", "/metrics", headers={"Accept-Encoding": accepted})
            answer = connection.getresponse()
            content = answer.read()
            assert answer.headers["Content-Encoding"] == encoding
            assert (gzip.decompress(content) if encoding else content) == b"x 1\n"
        connection.close()


def test_an_answer_is_sent_without_waiting_for_acknowledgements(monkeypatch):
    """Headers and content are sent separately, and clients acknowledge after up to 40 ms."""
    options = []
    begin = Connections.begin_answer

    def record(connections, connection):
        options.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        begin(connections, connection)

    monkeypatch.setattr(Connections, "begin_answer", record)
    with serving() as address:
        assert request(address).text == "x 1\n"
    assert options == [1]


def test_an_absolute_target_is_accepted():
    with serving() as address:
        sent = f"GET http://{address}/metrics?a=b HTTP/1.1\r\nConnection: close\r\n\r\n"
        assert exchange(address, sent.encode()).endswith(b"\r\n\r\nx 1\n")


MARK = "<script>\x1b[31m"


@pytest.mark.parametrize(
    "sent",
    [
        f"GET /{MARK} HTTP/1.1\r\nConnection: close\r\n\r\n",
        f"GET //[{MARK} HTTP/1.1\r\nConnection: close\r\n\r\n",
        f"{MARK} / HTTP/1.1\r\n\r\n",
        f"GET / HTTP/{MARK}\r\n\r\n",
        f"GET / {MARK} HTTP/1.1\r\n\r\n",
        f"GET /metrics HTTP/1.1\r\nAccept: {MARK}\r\nConnection: close\r\n\r\n",
        f"GET / HTTP/1.1\r\n{MARK * 20000}: x\r\n\r\n",
        "\x16\x03\x01\x02",
    ],
)
def test_no_part_of_a_request_is_in_an_answer(sent):
    with serving() as address:
        received = exchange(address, sent.encode() + b"\r\n")
        assert received
        assert b"script" not in received
        assert b"\x1b" not in received


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"x" * (1 << 17), b"414"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * (1 << 17), b"431"),
        (b"GET / HTTP/1.1\r\n" + (b"X: " + b"x" * 50_000 + b"\r\n") * 90, b"431"),
        (b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * 200, b"431"),
    ],
)
def test_a_request_that_is_too_long_is_refused(sent, status):
    """As soon as the limit is reached: 90 headers may have 64 KiB each for the base class."""
    with serving() as address:
        received = exchange(address, sent)
        assert received == b"" or received.split(b" ")[1] == status


def test_what_is_read_of_a_request_is_limited():
    class Endless:
        read = 0

        def readline(self, limit):
            self.read += limit
            return b"x" * limit

    endless = Endless()
    reader = handler._LimitedReader(endless)
    with pytest.raises(handler.HTTPException, match="too long"):
        all(iter(lambda: reader.readline(1 << 16), None))
    assert endless.read == handler._LONGEST_REQUEST


def test_a_page_that_cannot_be_rendered_is_an_internal_error(caplog):
    def fail(_accept):
        raise ZeroDivisionError

    with serving(render=fail) as address:
        assert request(address).status == 500
        assert "Traceback" in caplog.text
        assert request(address, "/-/healthy").status == 200
