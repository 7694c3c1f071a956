"""A real box to record: the lab, with a guest, and the agent in its dom0."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from lablib import qemu, remote, session

#: under emulation a round takes the CPU time of a thousand: with the budget that holds without a
#: configuration there would be one every few minutes, and next to nothing new in a page
AGENT = """
printf '[probe]\\ncpu_budget = 1.0\\n' > /root/cost.toml
exec xengt serve --config /root/cost.toml
"""
_PORT = 9805
_PATIENCE_S = 300


@contextmanager
def agent() -> Iterator[str]:
    """Boot a lab with an agent in it; yield the URL of its page."""
    name = f"cost-{os.getpid()}"
    with ExitStack() as stack:
        stack.callback(session.down, name)
        lab = session.up(name, session.Options(guest=True), detached=False)
        port = qemu.free_port()
        way = f"127.0.0.1:{port}:127.0.0.1:{_PORT}"
        words = [*remote.ssh(lab, "-S", "none", "-L", way), AGENT]
        running = stack.enter_context(subprocess.Popen(words, stdin=subprocess.DEVNULL))
        stack.callback(running.terminate)
        _wait(port)
        yield f"http://127.0.0.1:{port}/metrics"


def _wait(port: int) -> None:
    """Wait for an answer through a forwarded port: a connection is always taken, by ssh."""
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                if connection.recv(1):
                    return
        except OSError:
            pass
        time.sleep(1)
    raise SystemExit("the agent in the lab does not answer")
