"""A client that scrapes the agent as Prometheus does, and rejects an incomplete answer."""

import gzip
import http.client
import socket
import time

from tests.patience import patient
from tests.soak.load import Client

OPENMETRICS = (
    "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
#: bytes that a slow client reads at once, and its pause after them in seconds
SLOW_BYTES, SLOW_PAUSE_S = 4096, 0.05
#: how a connection ends that the server has closed while no request was being answered
CLOSED = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


class ScrapingClient:
    """A client with one connection at a time.

    Args:
        client: how it scrapes.
        address: of the agent.
    """

    def __init__(self, client: Client, address: str) -> None:
        self._client = client
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._connection: http.client.HTTPConnection | None = None

    def scrape(self) -> str:
        """Return a page.

        As Prometheus' HTTP client does, try again if the server has closed the connection since
        its last answer.

        Raises:
            Exception: the scrape was not answered with a complete page.
        """
        reused = self._connection is not None
        try:
            answer = self._request()
        except CLOSED:
            if not reused:
                raise
            self.close()
            answer = self._request()
        page = self._read(answer)
        if not self._client.keep_alive or answer.will_close:
            self.close()
        return page

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _request(self) -> http.client.HTTPResponse:
        if self._connection is None:
            self._connection = self._connect()
        headers = {"Accept": OPENMETRICS if self._client.openmetrics else "*/*"}
        if self._client.compressed:
            headers["Accept-Encoding"] = "gzip"
        if not self._client.keep_alive:
            headers["Connection"] = "close"
        self._connection.request("GET", "/metrics", headers=headers)
        return self._connection.getresponse()

    def _connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=patient(30))
        if self._client.slow:
            # Set before the connection is made, so that the server soon has to wait.
            connection.sock = socket.socket()
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BYTES)
            connection.sock.settimeout(connection.timeout)
            connection.sock.connect((self._host, self._port))
        else:
            connection.connect()
        return connection

    def _read(self, answer: http.client.HTTPResponse) -> str:
        content = self._read_slowly(answer) if self._client.slow else answer.read()
        if answer.getheader("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        page = content.decode()
        kind = answer.headers.get_content_type()
        complete = kind == "text/plain" or page.endswith("# EOF\n")
        if answer.status != http.HTTPStatus.OK or "\nxengt_domains " not in page or not complete:
            raise AssertionError(f"status {answer.status}, {kind}, {len(page)} characters")
        return page

    @staticmethod
    def _read_slowly(answer: http.client.HTTPResponse) -> bytes:
        parts = []
        while part := answer.read(SLOW_BYTES):
            parts.append(part)
            time.sleep(SLOW_PAUSE_S)
        return b"".join(parts)
