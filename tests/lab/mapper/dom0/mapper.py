"""Mappers: guests that map grants as dom0 requests, destroyed at the end of a `with` block."""

import contextlib
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from mapper_mailbox import HOLD, PAGE, REACH, SWEEP, Mailbox, Step

from xengt.recovery import domain_owner
from xenlib_cffi.ctrl import Ctrl
from xenlib_cffi.errors import XenLibraryError
from xenlib_cffi.foreignmemory import ForeignMemory

HERE = Path(__file__).parent
KERNEL = HERE / "mapper.elf"
HOST, DEVICE, RO, APPLICATION, PTE = 2, 1, 4, 8, 16
#: start of an address range that neither kind of guest uses
WINDOW = 0x4000_0000
#: bytes of address space that one page table covers
REGION = 512 * PAGE

CONFIG = """name = "{name}"
type = "{kind}"
kernel = "{kernel}"
memory = 32
vcpus = 1
max_maptrack_frames = {maptrack}
on_poweroff = "destroy"
on_crash = "destroy"
"""


class Mapper:
    """A running mapper, within a `with` block.

    Args:
        kind: `pv` or `pvh`, started by xl; `plain` is a PV guest started without xl.
        maptrack: maximum number of its maptrack frames.
        domid: for `plain`, the requested domid; 0 is the next free one.
    """

    def __init__(self, kind: str = "plain", maptrack: int = 1024, domid: int = 0) -> None:
        self.kind, self.maptrack, self.requested_domid = kind, maptrack, domid
        self.name = f"mapper-{time.monotonic_ns()}"
        self.domid = self.used = 0
        self.mailbox: Mailbox | None = None

    def __enter__(self) -> Self:
        self.ctrl, self.memory = Ctrl(), ForeignMemory()
        try:
            frame = self._start() if self.kind == "plain" else self._create()
            self.mailbox = Mailbox(self.memory, self.domid, frame)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> int:
        words = [
            HERE / "start",
            KERNEL,
            domain_owner.uuid().hex(),
            str(self.maptrack),
            str(self.requested_domid),
        ]
        done = subprocess.run(words, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        self.domid, frame = (int(word) for word in done.stdout.split())
        return frame

    def _create(self) -> int:
        config = Path(f"/tmp/{self.name}.cfg")
        config.write_text(
            CONFIG.format(name=self.name, kind=self.kind, kernel=KERNEL, maptrack=self.maptrack)
        )
        output = _run("xl", "create", "-q", str(config))
        config.unlink()
        assert output == "", output
        self.domid = int(_run("xl", "domid", self.name))
        return int(_run("xenstore-read", f"/local/domain/{self.domid}/console/ring-ref"))

    def do(self, steps: Iterable[Step], within: float = 120) -> list[int]:
        """Let the mapper execute steps; returns their results."""
        assert self.mailbox
        return self.mailbox.do(steps, within)

    def hold(self, domid: int, first: int, grefs: int, flags: int, times: int = 1) -> int:
        """Map references and keep the mappings; returns their number."""
        at = self.window(grefs * times) if flags & HOST else 0
        return self.do([Step(HOLD, (domid, first, grefs, flags, at, times))])[0]

    def window(self, pages: int) -> int:
        """Return an address with space for `pages` host mappings; a PV guest gets page tables.

        Addresses are never reused, as Xen demands of PVH guests.
        """
        start, self.used = self.used, self.used + pages
        tables = range(start // 512, -(-self.used // 512))
        self.do(Step(REACH, (WINDOW + table * REGION,)) for table in tables)
        return WINDOW + start * PAGE

    def sweep(self, first: int, handles: int) -> int:
        """Unmap a range of handles; returns how many Xen accepts."""
        return self.do([Step(SWEEP, (first, handles))])[0]

    def unmap_mailbox(self) -> None:
        """Unmap the mailbox, so that dom0 holds no reference to the domain's memory."""
        if self.mailbox:
            self.mailbox.close()
            self.mailbox = None

    def destroy(self) -> float:
        """Destroy the mapper; returns the seconds until Xen no longer lists it."""
        self.unmap_mailbox()
        domid, self.domid = self.domid, 0
        began = time.monotonic()
        if self.kind != "plain":
            _run("xl", "destroy", str(domid))
        else:
            self.ctrl.destroy(domid)
        while any(domain.domid == domid for domain in self.ctrl.domains()):
            assert time.monotonic() < began + 60, f"mapper {domid} is still dying"
            time.sleep(0.005)
        return time.monotonic() - began

    def __exit__(self, *_: object) -> None:
        if self.domid:
            with contextlib.suppress(AssertionError, XenLibraryError):  # it may have crashed
                self.destroy()
        self.memory.close()
        self.ctrl.close()


def _run(*words: str) -> str:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout.strip()
