"""The timed loop of csrc/loop.c, which maps and unmaps batches of references, or copies pages.

Each worker is a thread in C, pinned to a vCPU on request, that records the duration of every call
in nanoseconds. Python starts the loop with the GIL released and merges the workers' histograms.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from xenlib_cffi.errors import GrantError, XenLibraryError, status_text
from xenlib_cffi.histogram import Histogram
from xenlib_cffi.library import PAGE_SIZE, Pages, load

if TYPE_CHECKING:  # only the stubs have names for C types
    from xenlib_cffi._histogram import CData
    from xenlib_cffi._xen import CLoopFailure, CWorker

_NS_PER_S = 1_000_000_000
#: seconds between two calls of the function that `run_watched` is given
_WATCH_INTERVAL_S = 0.5


class LoopEngine(Enum):
    """The calls that a loop measures; each value is a name in csrc/loop.h.

    The `REFUSED_` engines make the same calls with operations that are rejected at once, and
    `EMPTY` makes no call, which measures the overhead.
    """

    HYPERCALL = "LOOP_HYPERCALL"
    GNTDEV = "LOOP_GNTDEV"
    COPY = "LOOP_COPY"
    GNTDEV_COPY = "LOOP_GNTDEV_COPY"
    PERSISTENT = "LOOP_PERSISTENT"
    FOREIGN = "LOOP_FOREIGN"
    REFUSED_HYPERCALL = "LOOP_REFUSED_HYPERCALL"
    REFUSED_GNTDEV = "LOOP_REFUSED_GNTDEV"
    REFUSED_COPY = "LOOP_REFUSED_COPY"
    REFUSED_GNTDEV_COPY = "LOOP_REFUSED_GNTDEV_COPY"
    REFUSED_FOREIGN = "LOOP_REFUSED_FOREIGN"
    EMPTY = "LOOP_EMPTY"


class Touch(Enum):
    """What a loop does with mapped pages before it unmaps them: names in csrc/loop.h.

    `READ` and `WRITE` access one word of each cache line, `COPY` copies the page to memory of the
    process.
    """

    NONE = "TOUCH_NONE"
    READ = "TOUCH_READ"
    WRITE = "TOUCH_WRITE"
    COPY = "TOUCH_COPY"


@dataclass(frozen=True)
class LocalPages:
    """The pages of this process with which `LoopEngine.COPY` exchanges data, one per operation.

    Attributes:
        pages: contiguous pages, which stay at their frames.
        first: the index of a worker's first page in them.
        frames: the frame of each of the worker's pages as Xen names it: the mfn in a PV domain,
            else the gfn.
    """

    pages: Pages
    first: int
    frames: Sequence[int]


@dataclass(frozen=True)
class ThreadShare:
    """The targets of one worker.

    Attributes:
        cpu: the vCPU to pin the worker to; -1 does not pin it.
        targets: (domid, gref, pattern) of each reference, at least one batch. The worker maps them
            in order and then starts again.
        cursor: a writable buffer of 8 bytes, in which the worker notes the batch that may be
            mapped: 1 plus the index of its first target, or 0 for none.
        frames: the gfn of each target's page (the mfn of a PV granter), for `LoopEngine.FOREIGN`;
            other engines ignore it.
        local: for `LoopEngine.COPY` and its refused form, one page for each operation of a batch.
    """

    cpu: int
    targets: Sequence[tuple[int, int, int]]
    cursor: memoryview | None = None
    frames: Sequence[int] | None = None
    local: LocalPages | None = None


class Loop:
    """One run of the timed loop (`loop_run` of csrc/loop.h).

    Args:
        engine: the calls to measure.
        shares: the targets of each worker.
        batch: number of references per call.
        readonly: map read-only.
        touch: what to do with mapped pages; ignored by engines that give them no address.
        size: number of bytes of each page to copy or to touch, 64 to 4096.
        warmup: number of rounds that each worker runs before it records.
        rounds: number of rounds that each worker records; 0 means until `seconds` have passed.
        seconds: duration in seconds; 0 means until `rounds` are recorded.
        interval_ns: nanoseconds between the intended starts of a worker's rounds. The duration
            of a map call counts from the intended start, that of an unmap call from its start.
            0 starts each round after the previous one.
        digits: number of significant digits of the histograms, 1 to 5.

    Raises:
        MissingLibraryError: Xen's libraries cannot be loaded.
        ValueError: a worker has fewer targets, or fewer local pages, than a batch.
    """

    def __init__(
        self,
        engine: LoopEngine,
        shares: Sequence[ThreadShare],
        *,
        batch: int,
        readonly: bool = False,
        touch: Touch = Touch.NONE,
        size: int = PAGE_SIZE,
        warmup: int = 0,
        rounds: int = 0,
        seconds: float = 0,
        interval_ns: int = 0,
        digits: int = 3,
    ) -> None:
        """Create the C structures of the workers, their targets and histograms."""
        ffi, lib = load()
        self._ffi, self._lib = ffi, lib
        self._buffers: list[CData] = []  # memory that only C structures point to
        self._shares = shares  # keeps their local pages
        steps = ("first", "touch", "second")
        self._times = {step: [Histogram(digits=digits) for _ in shares] for step in steps}
        self._workers = ffi.new("struct worker[]", len(shares))
        for index, (worker, share) in enumerate(zip(self._workers, shares, strict=True)):
            if len(share.targets) < batch:
                raise ValueError(
                    f"{len(share.targets)} references of a worker are fewer than a batch of {batch}"
                )
            frames = share.frames or [0] * len(share.targets)
            targets = ffi.new(
                "struct target[]",
                [(*target, frame) for target, frame in zip(share.targets, frames, strict=True)],
            )
            self._buffers.append(targets)
            worker.cpu = share.cpu
            worker.targets = targets
            worker.n_targets = len(share.targets)
            worker.first = self._times["first"][index].cdata
            worker.touch = self._times["touch"][index].cdata
            worker.second = self._times["second"][index].cdata
            if engine in {LoopEngine.COPY, LoopEngine.REFUSED_COPY}:
                self._set_local(worker, share.local, batch)
            if share.cursor is not None:
                cursor = ffi.from_buffer("uint64_t[1]", share.cursor, require_writable=True)
                self._buffers.append(cursor)
                worker.cursor = cursor
        self._loop = ffi.new(
            "struct loop *",
            {
                "engine": getattr(lib, engine.value),
                "touch": getattr(lib, touch.value),
                "bytes": size,
                "workers": self._workers,
                "n_workers": len(shares),
                "batch": batch,
                "readonly": readonly,
                "warmup": warmup,
                "rounds": rounds,
                "duration_ns": int(seconds * _NS_PER_S),
                "interval_ns": interval_ns,
            },
        )

    def run(self) -> None:
        """Run the loop to its end.

        The GIL is released: another thread may call `stop`.

        Raises:
            GrantError: Xen rejected an operation, or a mapped page is not the granted page.
            XenLibraryError: a call failed.
        """
        number = self._lib.loop_run(self._loop)
        if number:
            raise XenLibraryError("pthread_create", "the workers of the loop", number)
        for worker in self._workers:
            self._raise_failure(worker.failure)

    def run_watched(self, watch: Callable[[int], None]) -> None:
        """Run the loop in another thread and call a function regularly in this one.

        Ctrl-C and exceptions of `watch` stop the loop after its current round, so that no reference
        stays mapped.

        Args:
            watch: called every half second with the number of recorded rounds. It should return
                quickly, because on a single vCPU it interrupts the measurement.

        Raises:
            GrantError: Xen rejected an operation, or a mapped page is not the granted page.
            XenLibraryError: a call failed.
        """
        outcome: list[BaseException | None] = []

        def body() -> None:
            try:
                self.run()
                outcome.append(None)
            except BaseException as error:  # noqa: BLE001 (raised in the calling thread)
                outcome.append(error)

        thread = threading.Thread(target=body, name="xengt-loop")
        try:
            thread.start()  # inside `try`: Ctrl-C may interrupt it when the thread already runs
            while thread.is_alive():
                thread.join(timeout=_WATCH_INTERVAL_S)
                watch(self.rounds)
        finally:
            self.stop()
            if thread.is_alive():
                thread.join()
        if outcome[0] is not None:
            raise outcome[0]

    def stop(self) -> None:
        """Make every worker end after its current round."""
        self._loop.stop = 1

    @property
    def rounds(self) -> int:
        """The number of rounds recorded so far by all workers."""
        return sum(worker.rounds for worker in self._workers)

    @property
    def elapsed_s(self) -> float:
        """The time in seconds that the slowest worker took for its recorded rounds."""
        return max(worker.elapsed_ns for worker in self._workers) / _NS_PER_S

    @property
    def steps(self) -> tuple[Histogram, ...]:
        """The durations in nanoseconds of the calls of all workers, for each call of a round.

        The first histogram is of maps, or of copies from the granter. The last one is of unmaps, or
        of copies to the granter. Between them is one of the touches, if there were any.
        """
        merged = [_merged(histograms) for histograms in self._times.values()]
        return tuple(times for times in merged if times.count) or (merged[0], merged[2])

    def _set_local(self, worker: "CWorker", local: LocalPages | None, batch: int) -> None:
        if local is None or len(local.frames) < batch:
            count = len(local.frames) if local else 0
            raise ValueError(f"{count} local pages of a worker are fewer than a batch of {batch}")
        frames = self._ffi.new("uint64_t[]", list(local.frames))
        self._buffers.append(frames)
        worker.local_frames = frames
        worker.local = self._ffi.cast("unsigned char *", local.pages.address(local.first))

    def _raise_failure(self, failure: "CLoopFailure") -> None:
        if failure.error == self._lib.LOOP_OK:
            return
        call = self._ffi.string(failure.call).decode()
        domid, gref = failure.domid, failure.gref
        if failure.error == self._lib.LOOP_STATUS:
            raise GrantError(call, domid, gref, status_text(failure.status), failure.status)
        if failure.error == self._lib.LOOP_CONTENTS:
            wrong = "the mapped or copied page does not hold the pattern of the granted page"
            raise GrantError(call, domid, gref, wrong)
        raise XenLibraryError(call, f"reference {gref} of domain {domid}", failure.errnum)


def _merged(histograms: Sequence[Histogram]) -> Histogram:
    merged = Histogram(digits=histograms[0].digits)
    for histogram in histograms:
        merged.merge(histogram)
    return merged
