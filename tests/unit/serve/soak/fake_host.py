"""A host without Xen: the agent as a process, domains, and a XenStore daemon."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from contextlib import suppress
from pathlib import Path

from tests.patience import patient
from tests.soak.load import NAME
from tests.unit.serve.soak.shared_hypervisor import SharedHypervisor
from tests.unit.waiting import wait_until
from tests.unit.xenstored import FakeXenstored

ROOT = Path(__file__).parents[4]
UNIT = ROOT / "deploy/debian/xengt.service"
#: domids of the domains that this process creates
DOMIDS = range(100, 20_000)


def environment():
    """Return the environment of this process with the variables that the agent's unit sets."""
    lines = re.findall(r"^Environment=(.*)=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)
    return os.environ | dict(lines)


class BusyXenstored(FakeXenstored):
    """A daemon whose nodes change while it answers.

    Args:
        path: its socket.
        nodes: by path.
        lock: protects the nodes.
    """

    def __init__(self, path, nodes, lock):
        self.lock = lock
        super().__init__(path)
        self.nodes = nodes

    def answer(self, operation, path, payload):
        with self.lock:
            return super().answer(operation, path, payload)


class FakeHost:
    """A host; the agent starts with it.

    Args:
        directory: empty.
        fake_xen: the preloaded library.
    """

    def __init__(self, directory, fake_xen):
        self.directory = directory
        (directory / "domains").mkdir()
        self.xen = SharedHypervisor(directory / "domains")
        self.nodes = {"/local/domain/0/domid": b"0", "/local/domain/0/name": b"Domain-0"}
        self.lock = threading.Lock()
        self.created = 0
        self.xen.create(0, bytes(16))
        self.start_xenstored()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        self.listen = f"[listen]\nport = {port}\n"
        self.config = directory / "serve.toml"
        self.config.write_text(self.listen)
        self.log = directory / "log"
        module = "tests.unit.serve.soak.agent_process"
        words = [sys.executable, "-m", module, directory, "serve", "--config", self.config]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                words,
                env=environment() | {"LD_PRELOAD": str(fake_xen), "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )
        assert wait_until(self.answers, 60), self.log.read_text()

    def answers(self):
        with suppress(OSError), urllib.request.urlopen(f"http://{self.address}/-/ready"):
            return True
        return self.process.poll() is not None

    # what `tests.soak.host.Host` requires

    def pid(self):
        assert self.process.poll() is None, self.log.read_text()
        return self.process.pid

    def reload(self, text):
        self.config.write_text(text)
        self.process.send_signal(signal.SIGHUP)

    def create_domain(self):
        domid = DOMIDS[self.created % len(DOMIDS)]
        self.created += 1
        self.xen.create(domid, domid.to_bytes(16))
        with self.lock:
            self.nodes[f"/local/domain/{domid}/name"] = NAME.format(domid).encode()
        self.xenstored.changed("@introduceDomain")
        return domid

    def destroy_domain(self, domid):
        self.xen.destroy(domid)
        self.xenstored.changed("@releaseDomain")
        with self.lock:
            self.nodes.pop(f"/local/domain/{domid}/name", None)

    def restart_xenstored(self):
        self.xenstored.stop()
        self.start_xenstored()

    def start_xenstored(self):
        self.xenstored = BusyXenstored(self.directory / "xenstored", self.nodes, self.lock)

    # the end

    def stop(self):
        """Stop the agent, and return its exit code."""
        self.process.terminate()
        code = self.process.wait(timeout=patient(30))
        self.xenstored.stop()
        return code

    def domains(self):
        """Return the domains that exist."""
        return sorted(each.name for each in (self.directory / "domains").iterdir())
