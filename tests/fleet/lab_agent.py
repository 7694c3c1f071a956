"""A lab with a guest and the agent in its dom0, as the box to record."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from lablib import qemu, remote, session

#: Under emulation, a probe round takes about a thousand times the CPU time. With the default budget
#: there would be a round every few minutes, and most pages would be identical.
AGENT = """
printf '[probe]\\ncpu_budget = 1.0\\n' > /root/cost.toml
exec xengt serve --config /root/cost.toml
"""
_PORT = 9805
_START_TIMEOUT_S = 300


@contextmanager
def agent() -> Iterator[str]:
    """Boot a lab, run the agent in its dom0, and yield the URL of its metrics."""
    name = f"cost-{os.getpid()}"
    with ExitStack() as stack:
        stack.callback(session.down, name)
        lab = session.up(name, session.Options(guest=True), detached=False)
        port = qemu.free_port()
        forward = f"127.0.0.1:{port}:127.0.0.1:{_PORT}"
        command = [*remote.ssh(lab, "-S", "none", "-L", forward), AGENT]
        running = stack.enter_context(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        stack.callback(running.terminate)
        _wait(port)
        yield f"http://127.0.0.1:{port}/metrics"


def _wait(port: int) -> None:
    """Wait for an HTTP response through a forwarded port.

    A connection alone proves nothing: ssh accepts it even if the agent does not listen.
    """
    end = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                if connection.recv(1):
                    return
        except OSError:
            pass
        time.sleep(1)
    raise SystemExit(f"the agent in the lab did not answer within {_START_TIMEOUT_S} s")
