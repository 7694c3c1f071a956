"""The timed loop of csrc/loop.c, which maps and unmaps batches of references.

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
from xenlib_cffi.library import load

if TYPE_CHECKING:  # only the stubs have names for C types
    from xenlib_cffi._histogram import CData
    from xenlib_cffi._xen import CLoopFailure

_NS_PER_S = 1_000_000_000
#: seconds between two calls of the function that `run_watched` is given
_WATCH_INTERVAL_S = 0.5


class LoopEngine(Enum):
    """The calls that a loop measures; each value is a name in csrc/loop.h.

    The `REFUSED_` engines make the same calls with operations that are rejected at once, which
    measures the overhead.
    """

    HYPERCALL = "LOOP_HYPERCALL"
    GNTDEV = "LOOP_GNTDEV"
    REFUSED_HYPERCALL = "LOOP_REFUSED_HYPERCALL"
    REFUSED_GNTDEV = "LOOP_REFUSED_GNTDEV"


@dataclass(frozen=True)
class ThreadShare:
    """The targets of one worker.

    Attributes:
        cpu: the vCPU to pin the worker to; -1 does not pin it.
        targets: (domid, gref, pattern) of each reference, at least one batch. The worker maps them
            in order and then starts again.
        cursor: a writable buffer of 8 bytes, in which the worker notes the batch that may be
            mapped: 1 plus the index of its first target, or 0 for none.
    """

    cpu: int
    targets: Sequence[tuple[int, int, int]]
    cursor: memoryview | None = None


class Loop:
    """One run of the timed loop (`loop_run` of csrc/loop.h).

    Args:
        engine: the calls to measure.
        shares: the targets of each worker.
        batch: number of references per call.
        readonly: map read-only.
        warmup: number of rounds that each worker runs before it records.
        rounds: number of rounds that each worker records; 0 means until `seconds` have passed.
        seconds: duration in seconds; 0 means until `rounds` are recorded.
        interval_ns: nanoseconds between the intended starts of a worker's rounds. The duration
            of a map call counts from the intended start, that of an unmap call from its start.
            0 starts each round after the previous one.
        digits: number of significant digits of the histograms, 1 to 5.

    Raises:
        MissingLibraryError: Xen's libraries cannot be loaded.
        ValueError: a worker has fewer targets than a batch.
    """

    def __init__(
        self,
        engine: LoopEngine,
        shares: Sequence[ThreadShare],
        *,
        batch: int,
        readonly: bool = False,
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
        self._maps = [Histogram(digits=digits) for _ in shares]
        self._unmaps = [Histogram(digits=digits) for _ in shares]
        self._workers = ffi.new("struct worker[]", len(shares))
        for worker, share, maps, unmaps in zip(
            self._workers, shares, self._maps, self._unmaps, strict=True
        ):
            if len(share.targets) < batch:
                raise ValueError(
                    f"{len(share.targets)} references of a worker are fewer than a batch of {batch}"
                )
            targets = ffi.new("struct target[]", list(share.targets))
            self._buffers.append(targets)
            worker.cpu = share.cpu
            worker.targets = targets
            worker.n_targets = len(share.targets)
            worker.map = maps.cdata
            worker.unmap = unmaps.cdata
            if share.cursor is not None:
                cursor = ffi.from_buffer("uint64_t[1]", share.cursor, require_writable=True)
                self._buffers.append(cursor)
                worker.cursor = cursor
        number: int = getattr(lib, engine.value)
        self._loop = ffi.new(
            "struct loop *",
            {
                "engine": number,
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
    def maps(self) -> Histogram:
        """The duration in nanoseconds of each map call of all workers."""
        return _merged(self._maps)

    @property
    def unmaps(self) -> Histogram:
        """The duration in nanoseconds of each unmap call of all workers."""
        return _merged(self._unmaps)

    def _raise_failure(self, failure: "CLoopFailure") -> None:
        if failure.error == self._lib.LOOP_OK:
            return
        call = self._ffi.string(failure.call).decode()
        domid, gref = failure.domid, failure.gref
        if failure.error == self._lib.LOOP_STATUS:
            raise GrantError(call, domid, gref, status_text(failure.status), failure.status)
        if failure.error == self._lib.LOOP_CONTENTS:
            raise GrantError(
                call, domid, gref, "the mapped page does not hold the pattern of the granted page"
            )
        raise XenLibraryError(call, f"reference {gref} of domain {domid}", failure.errnum)


def _merged(histograms: Sequence[Histogram]) -> Histogram:
    merged = Histogram(digits=histograms[0].digits)
    for histogram in histograms:
        merged.merge(histogram)
    return merged
