"""An HTTP server that replays the recording of one box for many targets."""

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.fleet.recording import read_pages


class Server(ThreadingHTTPServer):
    """A server with one thread per connection."""

    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, *_: object) -> None:
        """Ignore the connection errors when Prometheus ends."""


@contextmanager
def replay(recording: Path, every_s: float) -> Iterator[int]:
    """Serve a recording on every path, at the pace of the recording; yield the port.

    Values change from scrape to scrape as on a real box, because Prometheus stores constant values
    in less space. After the end of the recording, its last page is served.

    Args:
        recording: directory written by `recording.record`.
        every_s: seconds between its pages.
    """
    bodies = [gzip.compress(page.encode()) for page in read_pages(recording)]
    content_type = (recording / "type").read_text()
    began = time.monotonic()

    class Box(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = bodies[min(int((time.monotonic() - began) / every_s), len(bodies) - 1)]
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Suppress the access log."""

    with Server(("127.0.0.1", 0), Box) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
