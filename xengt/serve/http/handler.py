"""The requests of one connection."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler
from io import BufferedIOBase
from typing import Protocol
from urllib.parse import urlsplit

from xengt import __version__
from xengt.serve.http import compression
from xengt.serve.http.compression import Part
from xengt.serve.http.connections import NEXT_REQUEST_S, Connections
from xengt.serve.http.negotiation import prefers_gzip
from xengt.serve.http.security import Security

log = logging.getLogger(__name__)

METRICS = "/metrics"
HEALTHY = "/-/healthy"
READY = "/-/ready"
_PATHS = (METRICS, HEALTHY, READY)
_PLAIN = "text/plain; charset=utf-8"
#: bytes of a request line with all headers; the request line alone has at most half of it
_LONGEST_REQUEST = 1 << 17
_LANDING_PAGE = f"""<!DOCTYPE html>
<html lang="en">
<head><title>xengt</title></head>
<body>
<h1>xengt {__version__}</h1>
<p>Prometheus metrics of Xen grant operations and grant tables</p>
<ul>
{"".join(f'<li><a href="{path}">{path}</a></li>{chr(10)}' for path in _PATHS)}</ul>
</body>
</html>
""".encode()


class Content(Protocol):
    """What a server serves; called in the threads of connections."""

    def render_page(self, accept: str) -> tuple[Sequence[Part], str]:
        """Return the parts of a page of metrics for an Accept header, and its content type."""

    def problem(self) -> str | None:
        """Return why the agent is not ready, or None."""


class HttpServer(Protocol):
    """What a handler needs of its server."""

    content: Content
    security: Security
    connections: Connections


class _LimitedReader:
    """The lines of requests; the bytes of one request are limited."""

    def __init__(self, reader: BufferedIOBase) -> None:
        self._reader = reader
        self.remaining = _LONGEST_REQUEST

    def readline(self, limit: int) -> bytes:
        line = self._reader.readline(min(limit, self.remaining))
        self.remaining -= len(line)
        if not self.remaining:
            raise HTTPException("the request is too long")
        return line

    def close(self) -> None:
        self._reader.close()


class Handler(BaseHTTPRequestHandler):
    """A connection, which may have any number of requests."""

    protocol_version = "HTTP/1.1"
    server_version = f"xengt/{__version__}"
    sys_version = ""
    #: Otherwise the end of an answer waits up to 40 ms for the client to acknowledge its headers.
    disable_nagle_algorithm = True
    #: for a client that does not read; `Connections` ends the wait for one that does not write
    timeout = NEXT_REQUEST_S
    server: HttpServer  # type: ignore[assignment]
    rfile: _LimitedReader  # type: ignore[assignment]

    def setup(self) -> None:
        """Limit what is read."""
        super().setup()
        self.rfile = _LimitedReader(self.rfile)  # type: ignore[arg-type]

    def handle_one_request(self) -> None:
        """Read a request and answer it."""
        self.rfile.remaining = _LONGEST_REQUEST
        super().handle_one_request()

    def do_GET(self) -> None:
        """Answer a request for content."""
        with self._answering():
            if self._is_authenticated():
                self._answer()

    do_HEAD = do_GET  # noqa: N815 (as the base class names it)

    def do_other(self) -> None:
        """Refuse a method that changes something."""
        with self._answering():
            # Its body has not been read.
            self.close_connection = True
            headers = {"Allow": "GET, HEAD"}
            self._send(HTTPStatus.METHOD_NOT_ALLOWED, b"use GET or HEAD\n", headers=headers)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_other  # noqa: N815
    do_OPTIONS = do_TRACE = do_CONNECT = do_other  # noqa: N815

    @contextmanager
    def _answering(self) -> Iterator[None]:
        connections = self.server.connections
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # The body has not been read.
        connections.begin_answer(self.connection)
        yield
        connections.end_answer(self.connection)

    def _is_authenticated(self) -> bool:
        passwords = self.server.security.passwords
        if passwords is None or passwords.accepts(self.headers.get("Authorization", "")):
            return True
        headers = {"WWW-Authenticate": 'Basic realm="xengt", charset="UTF-8"'}
        self._send(HTTPStatus.UNAUTHORIZED, b"user and password are required\n", headers=headers)
        return False

    def _answer(self) -> None:
        try:
            path = urlsplit(self.path).path
        except ValueError:
            path = ""
        if path == METRICS:
            self._send_page()
        elif path == "/":
            self._send(HTTPStatus.OK, _LANDING_PAGE, "text/html; charset=utf-8")
        elif path == HEALTHY:
            self._send(HTTPStatus.OK, b"xengt is healthy\n")
        elif path == READY:
            problem = self.server.content.problem()
            status = HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK
            self._send(status, f"{problem or 'xengt is ready'}\n".encode())
        else:
            self._send(HTTPStatus.NOT_FOUND, f"the paths are /, {', '.join(_PATHS)}\n".encode())

    def _send_page(self) -> None:
        try:
            parts, kind = self.server.content.render_page(self.headers.get("Accept", ""))
        except Exception:
            log.exception("cannot render the metrics")
            error = b"cannot render the metrics: see the agent's log\n"
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, error)
            return
        headers = {"Vary": "Accept, Accept-Encoding"}
        if prefers_gzip(self.headers.get("Accept-Encoding", "")):
            headers["Content-Encoding"] = "gzip"
            self._send(HTTPStatus.OK, compression.compress(parts), kind, headers)
        else:
            self._send(HTTPStatus.OK, compression.join(parts), kind, headers)

    def _send(
        self,
        status: HTTPStatus,
        content: bytes,
        kind: str = _PLAIN,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in {**self.server.security.headers, **(headers or {})}.items():
            self.send_header(name, value)
        if self.close_connection or self.server.connections.ended:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send an error of the base class, without its message, which repeats the request."""
        del message, explain
        self.close_connection = True
        status = HTTPStatus(code)
        self._send(status, f"{status.phrase}\n".encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (as in the base)
        """Log a request at debug level only, because every scrape is one."""
        log.debug(format, *args)
