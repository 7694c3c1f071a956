"""The mapper's mailbox, with steps that the guest executes; the layout of guest/mailbox.h."""

import struct
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from xenlib_cffi.foreignmemory import ForeignMemory

#: Seconds until a mapper that does not start, or does not finish its steps, counts as failed. Steps
#: take at most a minute on an idle machine, and 20 times as long on a slow and busy one.
TIMEOUT_S = 1800.0
PAGE = 4096
BEACON = 4080
BEACON_MAGIC = 0x7265707061746778
ARENA_PAGES = 64
STEPS = 4096
STEPS_MAX = 1024
DATA = STEPS + 64 * STEPS_MAX
FAULTED = -(1 << 63)

(
    HYPERCALL,
    READ,
    WRITE,
    REACH,
    HOLD,
    MAP_LOOP,
    VERSION_LOOP,
    SWEEP,
    GRANT_FRAMES,
    END,
    SECOND_VCPU,
) = range(1, 12)

COUNTERS = (
    "mapped", "map_refused", "map_status", "unmapped", "unmap_refused", "unmap_status",
    "wrong_page", "rounds", "switched", "switch_refused",
)  # fmt: skip

_REQUESTED, _DONE, _COUNT, _STOP, _ADDRESS, _PV, _COUNTER, _FRAME = 0, 4, 8, 12, 16, 24, 32, 160
_STEP = struct.Struct("<7Qq")


class Step(NamedTuple):
    """A step for the guest; guest/mailbox.h documents the arguments of each verb."""

    verb: int
    args: tuple[int, ...]


class Mailbox:
    """The mailbox of a mapper, mapped into dom0.

    Args:
        memory: an open handle.
        domid: domid of the mapper.
        console: frame of its console ring.

    Raises:
        TimeoutError: the mapper has not started after TIMEOUT_S.
    """

    def __init__(self, memory: ForeignMemory, domid: int, console: int) -> None:
        """Wait until the mapper has started, and map its mailbox."""
        self.domid = domid
        with memory.map(domid, [console]) as ring:
            page = ring.page(0)
            first = _wait_until(lambda: _beacon(page), f"mapper {domid} does not start")
        with memory.map(domid, [first]) as head:
            frames = struct.unpack_from(f"<{ARENA_PAGES}Q", head.page(0), _FRAME)
        self.pages = memory.map(domid, frames)
        self.memory = memory
        whole = memory.ffi.buffer(self.pages.pointer, ARENA_PAGES * PAGE)
        self.bytes = memoryview(whole).cast("B")
        self.frames = frames
        #: guest addresses of the mailbox, and of the data area that follows the steps
        self.address = struct.unpack_from("<Q", self.bytes, _ADDRESS)[0]
        self.data = self.address + DATA
        self.pv = bool(struct.unpack_from("<Q", self.bytes, _PV)[0])

    def close(self) -> None:
        """Unmap the guest's pages, so that the domain can be destroyed."""
        self.bytes.release()
        self.pages.release()

    def put(self, offset: int, content: bytes) -> int:
        """Write into the data area; returns the guest address of the content."""
        self.bytes[DATA + offset : DATA + offset + len(content)] = content
        return self.data + offset

    def take(self, offset: int, size: int) -> bytes:
        """Read the data area."""
        return bytes(self.bytes[DATA + offset : DATA + offset + size])

    def begin(self, steps: Sequence[Step]) -> None:
        """Start the execution of 1 to STEPS_MAX steps without waiting for it."""
        for index, step in enumerate(steps):
            args = (*step.args, *[0] * (6 - len(step.args)))
            _STEP.pack_into(self.bytes, STEPS + 64 * index, step.verb, *args, 0)
        struct.pack_into("<2I128x", self.bytes, _COUNT, len(steps), 0)
        struct.pack_into("<I", self.bytes, _REQUESTED, self._word(_REQUESTED) + 1)
        self._count = len(steps)

    def results(self) -> list[int]:
        """Wait for the started steps; returns their results.

        Raises:
            TimeoutError: the mapper has not finished them after TIMEOUT_S.
        """
        _wait_until(
            lambda: self._word(_DONE) == self._word(_REQUESTED),
            f"mapper {self.domid} has not finished its steps",
        )
        return [
            struct.unpack_from("<q", self.bytes, STEPS + 64 * index + 56)[0]
            for index in range(self._count)
        ]

    def do(self, steps: Iterable[Step]) -> list[int]:
        """Execute steps; returns their results."""
        self.begin(list(steps))
        return self.results()

    def stop(self) -> None:
        """Stop the loop that the guest is executing."""
        struct.pack_into("<I", self.bytes, _STOP, 1)

    def counters(self) -> dict[str, int]:
        """Return the counters of the loops since the steps were started."""
        values = struct.unpack_from(f"<{len(COUNTERS)}q", self.bytes, _COUNTER)
        return dict(zip(COUNTERS, values, strict=True))

    def _word(self, offset: int) -> int:
        return int(struct.unpack_from("<I", self.bytes, offset)[0])


def _beacon(page: memoryview) -> int:
    magic, frame = struct.unpack_from("<2Q", page, BEACON)
    return int(frame) if magic == BEACON_MAGIC else 0


def _wait_until(condition: Callable[[], int], message: str) -> int:
    deadline = time.monotonic() + TIMEOUT_S
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{message} after {TIMEOUT_S:.0f} s")
        time.sleep(0.002)
    return found
