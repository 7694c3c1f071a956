"""One recorded box, served as if it were many."""

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.fleet.pages import recorded


class Server(ThreadingHTTPServer):
    """Keeps a connection for each box, as boxes would."""

    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, *_: object) -> None:
        """A Prometheus that ends hangs up on all of them."""


@contextmanager
def served(recording: Path, every_s: float) -> Iterator[int]:
    """Serve a recording on every path, at the pace it was taken; yield the port.

    Each scrape of a box is of new figures, as it is in life: what does not change costs a
    Prometheus less to keep. The box's last page stays.

    Args:
        recording: a directory, see `pages.record`.
        every_s: seconds between its pages.
    """
    bodies = [gzip.compress(page.encode()) for page in recorded(recording)]
    kind = (recording / "type").read_text()
    began = time.monotonic()

    class Box(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = bodies[min(int((time.monotonic() - began) / every_s), len(bodies) - 1)]
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with Server(("127.0.0.1", 0), Box) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
