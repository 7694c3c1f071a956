"""Mappers: guests that map grants as dom0 requests, destroyed at the end of a `with` block.

`xengt` destroys a mapper whose process was killed, as it does with its own empty domains. What `xl`
has written about it into XenStore remains then.
"""

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self
from uuid import UUID

from mapper_mailbox import HOLD, PAGE, REACH, SECOND_VCPU, SWEEP, Mailbox, Step

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
#: seconds until a destroyed mapper that still exists counts as an error
GONE_WITHIN_S = 300

CONFIG = """name = "{name}"
uuid = "{uuid}"
type = "{kind}"
kernel = "{kernel}"
memory = 32
vcpus = {vcpus}
max_maptrack_frames = {maptrack}
on_poweroff = "destroy"
on_crash = "destroy"
"""


class MapperError(Exception):
    """A mapper cannot be started or destroyed."""


class Mapper:
    """A running mapper, within a `with` block.

    Args:
        kind: `pv` or `pvh`, started by xl; `plain` is a PV guest started without xl.
        maptrack: maximum number of its maptrack frames.
        domid: for `plain`, the requested domid; 0 is the next free one.
        vcpus: 1, or for `pv` and `pvh` 2: the second one runs in an endless loop.

    Raises:
        MapperError: the mapper cannot be started, or does not disappear.
    """

    def __init__(
        self, kind: str = "plain", maptrack: int = 1024, domid: int = 0, vcpus: int = 1
    ) -> None:
        """Start nothing yet."""
        self.kind, self.maptrack, self.requested_domid = kind, maptrack, domid
        self.vcpus = vcpus
        self.name = f"mapper-{time.monotonic_ns()}"
        self.domid = self.used = 0
        self.mailbox: Mailbox

    def __enter__(self) -> Self:
        """Start the mapper."""
        self.ctrl, self.memory = Ctrl(), ForeignMemory()
        try:
            frame = self._start() if self.kind == "plain" else self._create()
            self.mailbox = Mailbox(self.memory, self.domid, frame)
            if self.vcpus > 1:
                self._start_second_vcpu()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start_second_vcpu(self) -> None:
        if self.do([Step(SECOND_VCPU, ())]) != [0]:
            raise MapperError(f"mapper {self.domid} cannot start its second vCPU")

    def _start(self) -> int:
        words = [str(HERE / "start"), str(KERNEL), domain_owner.uuid().hex()]
        output = _run(*words, str(self.maptrack), str(self.requested_domid))
        self.domid, frame = (int(word) for word in output.split())
        return frame

    def _create(self) -> int:
        text = CONFIG.format(
            name=self.name,
            uuid=UUID(bytes=domain_owner.uuid()),
            kind=self.kind,
            kernel=KERNEL,
            maptrack=self.maptrack,
            vcpus=self.vcpus,
        )
        with tempfile.NamedTemporaryFile("w", suffix=".cfg") as config:
            config.write(text)
            config.flush()
            _run("xl", "create", "-q", config.name)
        self.domid = int(_run("xl", "domid", self.name))
        return int(_run("xenstore-read", f"/local/domain/{self.domid}/console/ring-ref"))

    def do(self, steps: Iterable[Step]) -> list[int]:
        """Let the mapper execute steps; returns their results."""
        return self.mailbox.do(steps)

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
        if hasattr(self, "mailbox"):
            self.mailbox.close()
            del self.mailbox

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
            if time.monotonic() > began + GONE_WITHIN_S:
                raise MapperError(f"mapper {domid} is still dying after {GONE_WITHIN_S} s")
            time.sleep(0.005)
        return time.monotonic() - began

    def __exit__(self, *_: object) -> None:
        """Destroy the mapper."""
        if self.domid:
            with contextlib.suppress(MapperError, XenLibraryError):  # it may have crashed
                self.destroy()
        self.memory.close()
        self.ctrl.close()


def _run(*words: str) -> str:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        raise MapperError(f"{' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout.strip()
