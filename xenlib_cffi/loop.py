"""The timed map and unmap loop, in C of our own, with the GIL released.

One pinned thread a worker maps and unmaps batches of its references and
records each call, in nanoseconds, in histograms of its own. Python only says
what to run and folds what came out.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from xenlib_cffi.errors import GrantError, XenLibraryError, status_word
from xenlib_cffi.histogram import Histogram
from xenlib_cffi.library import load


class LoopEngine(Enum):
    """What a round calls; the value is its name in csrc/loop.h."""

    HYPERCALL = "LOOP_HYPERCALL"
    GNTDEV = "LOOP_GNTDEV"
    REFUSED_HYPERCALL = "LOOP_REFUSED_HYPERCALL"
    REFUSED_GNTDEV = "LOOP_REFUSED_GNTDEV"


@dataclass(frozen=True)
class ThreadShare:
    """One worker's part of the work.

    Attributes:
        cpu: the vCPU it is pinned to.
        targets: (domid, gref, pattern) each, at least a batch; gone through in order.
        cursor: a writable 8-byte buffer that always tells which batch may be
            mapped: one more than the index of its first target, or 0 for none.
    """

    cpu: int
    targets: Sequence[tuple[int, int, int]]
    cursor: memoryview | None = None


class Loop:
    """One run of the loop (`loop_run` of csrc/loop.h).

    Args:
        engine: what to call.
        shares: one a worker.
        batch: references a call.
        readonly: map for reading alone.
        warmup: rounds a worker runs before it records any.
        rounds: to record, a worker; 0 to go on until the time is up.
        seconds: how long to go on; 0 until the rounds are done.
        interval_ns: between the intended starts of a worker's rounds; latencies
            are taken from the intended start. 0: flat out.
        digits: significant digits the histograms keep, 2 or 3.

    Raises:
        MissingLibraryError: Xen's libraries are not here.
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
        """Lay out workers, targets and histograms for C."""
        ffi, lib = load()
        self._ffi, self._lib = ffi, lib
        self._keep: list[Any] = []
        self._maps = [Histogram(digits=digits) for _ in shares]
        self._unmaps = [Histogram(digits=digits) for _ in shares]
        self._workers = ffi.new("struct worker[]", len(shares))
        for worker, share, maps, unmaps in zip(
            self._workers, shares, self._maps, self._unmaps, strict=True
        ):
            if len(share.targets) < batch:
                raise ValueError(f"{len(share.targets)} references cannot fill a batch of {batch}")
            targets = ffi.new("struct target[]", list(share.targets))
            self._keep.append(targets)
            worker.cpu = share.cpu
            worker.targets = targets
            worker.n_targets = len(share.targets)
            worker.map = maps.cdata
            worker.unmap = unmaps.cdata
            if share.cursor is not None:
                cursor = ffi.from_buffer("uint64_t[1]", share.cursor, require_writable=True)
                self._keep.append(cursor)
                worker.cursor = cursor
        self._loop = ffi.new(
            "struct loop *",
            {
                "engine": getattr(lib, engine.value),
                "workers": self._workers,
                "n_workers": len(shares),
                "batch": batch,
                "readonly": readonly,
                "warmup": warmup,
                "rounds": rounds,
                "duration_ns": int(seconds * 1e9),
                "interval_ns": interval_ns,
            },
        )

    def run(self) -> None:
        """Run to the end; the GIL is released, and another thread may call `stop`.

        Raises:
            GrantError: Xen refused an operation, or a page is not what was granted.
            XenLibraryError: a call failed as a whole.
        """
        started = self._lib.loop_run(self._loop)
        if started:
            raise XenLibraryError("pthread_create", "the loop's workers", started)
        for worker in self._workers:
            self._raise_failure(worker.failure)

    def run_watched(self, watch: Callable[[int], None]) -> None:
        """Run in a thread of its own while this one watches.

        Ctrl-C, like any exception out of `watch`, ends the loop after the round
        it is in, so that nothing stays mapped.

        Args:
            watch: called with the rounds done every half second; it must not
                take long: where there is one vCPU it interrupts what is measured.

        Raises:
            GrantError: Xen refused an operation, or a page is not what was granted.
            XenLibraryError: a call failed as a whole.
        """
        ended: list[BaseException | None] = []

        def body() -> None:
            try:
                self.run()
                ended.append(None)
            except BaseException as error:  # noqa: BLE001 (handed to the thread that waits)
                ended.append(error)

        thread = threading.Thread(target=body, name="xengt-loop")
        try:
            thread.start()  # within: Ctrl-C may come before it returns, and the thread run on
            while thread.is_alive():
                thread.join(timeout=0.5)
                watch(self.rounds)
        finally:
            self.stop()
            if thread.is_alive():
                thread.join()
        if ended[0] is not None:
            raise ended[0]

    def stop(self) -> None:
        """Let every worker finish its round and end."""
        self._loop.stop = 1

    @property
    def rounds(self) -> int:
        """Rounds recorded so far, of all workers."""
        return sum(worker.rounds for worker in self._workers)

    @property
    def elapsed_s(self) -> float:
        """Seconds that the slowest worker took for the rounds it recorded."""
        return float(max(worker.elapsed_ns for worker in self._workers) / 1e9)

    @property
    def maps(self) -> Histogram:
        """Nanoseconds of every map call, of all workers."""
        return _merged(self._maps)

    @property
    def unmaps(self) -> Histogram:
        """Nanoseconds of every unmap call, of all workers."""
        return _merged(self._unmaps)

    def _raise_failure(self, failure: Any) -> None:  # noqa: ANN401 (a struct of cffi)
        if failure.trouble == self._lib.LOOP_FINE:
            return
        call = self._ffi.string(failure.call).decode()
        domid, gref = failure.domid, failure.gref
        if failure.trouble == self._lib.LOOP_STATUS:
            raise GrantError(call, domid, gref, status_word(failure.status), failure.status)
        if failure.trouble == self._lib.LOOP_CONTENTS:
            raise GrantError(call, domid, gref, "the page mapped is not the page granted")
        raise XenLibraryError(call, f"reference {gref} of domain {domid}", failure.errnum)


def _merged(histograms: Sequence[Histogram]) -> Histogram:
    merged = Histogram(digits=histograms[0].digits)
    for histogram in histograms:
        merged.merge(histogram)
    return merged
