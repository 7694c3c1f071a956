"""Runs a guest that transfers data through blkback and netback.

argument: 1 or 0: whether the guest's disks use persistent grants. Prints a JSON line: for each
direction of transfer the checksums in dom0 and in the guest; and counts of dom0's mappings.
"""

import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from patience import patient

from xenlib_cffi.errors import XenLibraryError
from xenlib_cffi.hypfs import HypFs

HERE = Path(__file__).parent
BYTES = 4 << 20
NAME = "traffic"
CONSOLE = Path(f"/var/log/xen/console/guest-{NAME}.log")
GUEST_ADDRESS, DOM0_ADDRESS = "10.77.0.2", "10.77.0.1"
CONFIG = """name = "{name}"
type = "pv"
kernel = "/boot/vmlinuz"
ramdisk = "{here}/initramfs"
memory = 128
vcpus = 1
disk = ["vdev=xvda,access=r,script={here}/vbd,target={source}", "vdev=xvdb,access=w,script={here}/vbd,target={target}"]
vif = ["script={here}/vif"]
on_poweroff = "destroy"
extra = "console=hvc0 lsm=capability rodata=off loglevel=5 {extra}"
"""  # noqa: E501


def run(*words: str) -> str:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


@contextmanager
def running_guest(source: str, target: str, **options: object) -> Iterator[None]:
    """Start the guest, and destroy it at the end if it still exists.

    Args:
        source: device of the disk that it reads.
        target: device of the disk that it writes.
        options: variables of its init process, in addition to those that it always needs.
    """
    CONSOLE.unlink(missing_ok=True)
    CONSOLE.touch()
    values = {
        "persistent": 0,
        "bytes": BYTES,
        "guest_address": GUEST_ADDRESS,
        "dom0_address": DOM0_ADDRESS,
        **options,
    }
    extra = " ".join(f"traffic.{name}={value}" for name, value in values.items())
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as config:
        config.write(CONFIG.format(name=NAME, here=HERE, source=source, target=target, extra=extra))
        config.flush()
        run("xl", "create", "-q", config.name)
    try:
        yield
    finally:
        subprocess.run(["xl", "destroy", NAME], check=False, capture_output=True)


def checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def fast_maps() -> int | None:
    """Return how many fast mappings dom0 has made since it booted; None on stock."""
    with HypFs() as fs:
        try:
            return int(fs.read("/gnttab/0/fast-maps"))
        except XenLibraryError:
            return None


def make_disk(stack: ExitStack, content: bytes) -> tuple[Path, str]:
    """Create a file with some content; returns it and a loop device for it."""
    file = Path(f"/tmp/traffic-{time.monotonic_ns()}")
    file.write_bytes(content)
    stack.callback(file.unlink)
    device = run("losetup", "--show", "--find", str(file))
    stack.callback(run, "losetup", "--detach", device)
    return file, device


class PeakMappings(threading.Thread):
    """Polls the number of dom0's live mappings and records the maximum; does nothing on stock."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.before = self.live()
        self.most = self.before
        self.stopped = threading.Event()

    def live(self) -> int | None:
        with HypFs() as fs:
            try:
                return sum(int(fs.read(f"/gnttab/0/{kind}-live")) for kind in ("fast", "slow"))
            except XenLibraryError:
                return None

    def run(self) -> None:
        while self.before is not None and not self.stopped.wait(0.02):
            self.most = max(self.most, self.live())

    def finish(self) -> int | None:
        self.stopped.set()
        self.join()
        return None if self.before is None else self.most - self.before


class Peer(threading.Thread):
    """A TCP server for one connection: sends `content`, or receives until the end if it is None."""

    def __init__(self, port: int, content: bytes | None) -> None:
        super().__init__(daemon=True)
        self.listening = socket.create_server(("", port))
        self.content = content
        self.received = b""

    def run(self) -> None:
        connection, _ = self.listening.accept()
        with connection:
            if self.content is not None:
                connection.sendall(self.content)
            else:
                while part := connection.recv(1 << 16):
                    self.received += part
        self.listening.close()


def wait_until_printed(what: str, within: float) -> str:
    """Wait until the guest has printed `what`; returns all that it printed."""
    deadline = time.monotonic() + patient(within)
    while f"traffic: {what}" not in (text := CONSOLE.read_text(errors="replace")):
        assert time.monotonic() < deadline, text
        time.sleep(0.2)
    return text


def wait_for_checksums(within: float) -> dict[str, str]:
    """Wait until the guest is done; returns the checksums that it printed, by name."""
    text = wait_until_printed("done", within)
    words = [line.split() for line in text.splitlines() if line.startswith("traffic: ")]
    return {word[1]: word[2] for word in words if len(word) > 2}


def wait_until_gone(within: float) -> None:
    deadline = time.monotonic() + patient(within)
    while subprocess.run(["xl", "domid", NAME], check=False, capture_output=True).returncode == 0:
        assert time.monotonic() < deadline, "the guest still exists"
        time.sleep(0.2)


#: Creates a disk with some content, which the stack removes; returns a function that reads the
#: disk's content, and its device.
MakeDisk = Callable[[ExitStack, bytes], tuple[Callable[[], bytes], str]]


def make_loop_disk(stack: ExitStack, content: bytes) -> tuple[Callable[[], bytes], str]:
    file, device = make_disk(stack, content)
    return file.read_bytes, device


def main(persistent: str, make: MakeDisk = make_loop_disk) -> dict:
    for module in ("loop", "xen-blkback", "xen-netback"):
        run("modprobe", module)
    disk_content, sent = os.urandom(BYTES), os.urandom(BYTES)
    before, peak = fast_maps(), PeakMappings()
    peak.start()
    with ExitStack() as stack:
        _, source = make(stack, disk_content)
        written, target = make(stack, bytes(BYTES))
        giver, taker = Peer(7000, sent), Peer(7001, None)
        giver.start()
        taker.start()
        with running_guest(source, target, persistent=persistent):
            guest = wait_for_checksums(240)
            taker.join(30)
            wait_until_gone(60)
        run("sync")
        after = fast_maps()
        return {
            "read": [checksum(disk_content), guest["read"]],
            "wrote": [checksum(written()), guest["wrote"]],
            "received": [checksum(sent), guest["received"]],
            "sent": [checksum(taker.received), guest["wrote"]],
            "pages": BYTES // 4096,
            "most_live": peak.finish(),
            "fast_maps": None if before is None or after is None else after - before,
        }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
