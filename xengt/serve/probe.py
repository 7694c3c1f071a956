"""The probe: a thread that regularly maps and unmaps a few references, or copies their pages.

The granter is an empty domain that the probe creates. A round measures every case once.
The thread then waits until the next interval, or longer if the CPU budget requires it.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product

from xengt.bench import run
from xengt.bench.case import EMPTY_GRANTER, Setup
from xengt.bench.engines import EngineName, create_engine
from xengt.bench.engines.names import COPYING
from xengt.bench.granters.empty_domains import EmptyDomains
from xengt.errors import XengtError
from xengt.recovery import journal, sweep
from xengt.recovery.journal import Journal
from xengt.recovery.lock import BusyError
from xengt.serve.buckets import Buckets
from xengt.serve.config import ProbeOptions
from xengt.sharing.references import Reference
from xengt.xen.handle import MAPPINGS_PER_FAST_HANDLE
from xenlib_cffi.errors import BindingError, GrantError, GrantStatus
from xenlib_cffi.loop import Loop

log = logging.getLogger(__name__)

#: names of an engine's two operations, which are the label `operation` of the metrics
OPERATIONS = {
    EngineName.HYPERCALL: ("map", "unmap"),
    EngineName.GNTDEV: ("map", "unmap"),
    EngineName.COPY: ("copy_from", "copy_to"),
}
#: calls of the loop before the first that is recorded
_WARMUP = 4
#: longest wait between two heartbeats, in seconds
_HEARTBEAT_S = 1.0
#: time without a granter after somebody has destroyed it, in seconds: the host may be shutting down
_REPLACEMENT_S = 60.0


@dataclass(frozen=True)
class ProbeCase:
    """One case of a round.

    Attributes:
        engine: one of `config.PROBE_ENGINES`.
        batch: references per call.
        mappings: simultaneous mappings of each reference, the timed one included; 0 for copies.
    """

    engine: EngineName
    batch: int
    mappings: int

    @property
    def setup(self) -> Setup:
        """The same case for `bench`: one batch of references, one thread."""
        return Setup(
            engine=self.engine,
            granter=EMPTY_GRANTER,
            batch=self.batch,
            references=self.batch,
            mappings=max(self.mappings, 1),
        )

    def path(self, fast: bool | None, gntdev_entries: int) -> str:
        """Return where the hypervisor records the timed mapping.

        Args:
            fast: as of a `Probe`.
            gntdev_entries: as of a `Probe`.

        Returns:
            `fast`, `slow` or `unknown`; `none` for copies.
        """
        if not self.mappings:
            return "none"
        if fast is None:
            return "unknown"
        entries = self.mappings * (gntdev_entries if self.engine == "gntdev" else 1)
        return "fast" if fast and entries <= MAPPINGS_PER_FAST_HANDLE else "slow"


def _status_name(status: int) -> str:
    """Return Xen's name of a grant status, or the number if it has none."""
    try:
        return f"GNTST_{GrantStatus(status).name.lower()}"
    except ValueError:
        return str(status)


class CaseLatencies:
    """The latencies of one case, by operation.

    Args:
        operations: the names of the operations.

    Attributes:
        buckets: of all rounds.
        medians_s: median latency in seconds of an operation, of the last round.
        overheads_s: measurement overhead in seconds per operation, of the last round.
    """

    def __init__(self, operations: Iterable[str]) -> None:
        """Create empty histograms."""
        self.buckets = {name: Buckets() for name in operations}
        self.medians_s = dict.fromkeys(self.buckets, 0.0)
        self.overheads_s = dict.fromkeys(self.buckets, 0.0)


class _GranterDestroyedError(Exception):
    """Somebody has shut down or destroyed the domain whose references the probe maps."""


class Probe(threading.Thread):
    """The thread that takes rounds until it is stopped.

    Attributes:
        options: of the configuration.
        engines: configured engines, and whether this dom0 can run each; without a usable one
            there are no rounds.
        latencies: by case.
        errors: failed rounds by Xen's name of the grant status; `none`: not a grant status.
        rounds: completed rounds.
        rounds_skipped: rounds skipped because another process, such as a benchmark, held the
            journal.
        cpu_s: CPU time of all rounds in seconds.
        round_s: duration of the last round in seconds.
        failing: whether the last round failed.
        last_success: Unix time at which the last successful round ended; 0 before the first.
        last_heartbeat: time.monotonic() of the last sign of life.
        lock: protects what a round changes; `failing` and `last_heartbeat` are read without it.

    Args:
        options: see above.
        engines: see above.
        fast: whether Xen has fast entries for mappings by this dom0; None if that is unknown.
        gntdev_entries: mappings that Xen records for one of gntdev's: 2 in a PV dom0, else 1.
    """

    def __init__(
        self,
        options: ProbeOptions,
        engines: Mapping[EngineName, bool],
        *,
        fast: bool | None,
        gntdev_entries: int,
    ) -> None:
        """Prepare the thread; `start` starts it."""
        super().__init__(name="xengt-probe", daemon=True)
        self.options = options
        self._stopping = threading.Event()
        self._fast = fast
        self._gntdev_entries = gntdev_entries
        self.engines = dict(engines)
        usable = [name for name, up in engines.items() if up]
        self.latencies = {
            ProbeCase(engine, batch, mappings): CaseLatencies(OPERATIONS[engine])
            for engine, batch in product(usable, options.batches)
            for mappings in ((0,) if engine in COPYING else options.mappings)
        }
        self.lock = threading.Lock()
        self.errors: Counter[str] = Counter()
        self.rounds = self.rounds_skipped = 0
        self.failing = False
        self.cpu_s = self.round_s = self.last_success = 0.0
        self.last_heartbeat = time.monotonic()
        self._pause_s = options.interval_s

    @property
    def cpu_budget(self) -> float:
        """Highest average CPU time of the probe, as a fraction of one vCPU."""
        return self.options.cpu_budget

    @property
    def has_cases(self) -> bool:
        """Whether there is a case that this dom0 can measure."""
        return bool(self.latencies)

    def path(self, case: ProbeCase) -> str:
        """Return where the hypervisor records a case's timed mapping: see `ProbeCase.path`."""
        return case.path(self._fast, self._gntdev_entries)

    def continue_from(self, previous: "Probe") -> None:
        """Continue the counts of a probe that has ended, and the histograms of cases of both.

        Args:
            previous: the probe.
        """
        self.latencies |= {
            case: latencies
            for case, latencies in previous.latencies.items()
            if case in self.latencies
        }
        self.errors = previous.errors
        self.rounds, self.rounds_skipped = previous.rounds, previous.rounds_skipped
        self.failing, self.last_success = previous.failing, previous.last_success
        self.cpu_s, self.round_s = previous.cpu_s, previous.round_s

    def count_failure(self, status: str = "none") -> None:
        """Count a failed round.

        Args:
            status: Xen's name of the grant status; `none`: not a grant status.
        """
        with self.lock:
            self.failing = True
            self.errors[status] += 1

    def stop(self) -> None:
        """Stop after the case that is being measured, and wait for the thread to end."""
        self._stopping.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        """Take rounds; after a failure, try again at the next interval with a new granter."""
        while self.has_cases and not self._stopping.is_set():
            try:
                self._take_rounds()
            except _GranterDestroyedError:
                log.info(
                    "the probe's domain was shut down or destroyed; a new one is created in %g s",
                    _REPLACEMENT_S,
                )
                self._wait(max(self._pause_s, _REPLACEMENT_S))
            except Exception as error:  # noqa: BLE001 - the thread must not end
                self._record_failure(error)
                self._wait(self._pause_s)

    def _take_rounds(self) -> None:
        """Take rounds on one granter, until the probe is stopped or a round fails."""
        with EmptyDomains(1) as granter:
            references = granter.references(max(self.options.batches))
            while not self._stopping.is_set():
                # A domid is used again: without its domain, the references are another guest's.
                if not granter.exist():
                    raise _GranterDestroyedError
                try:
                    self._account(lambda: self._take_round(references))
                except (XengtError, BindingError) as error:
                    if granter.exist():
                        raise
                    raise _GranterDestroyedError from error
                self._wait(self._pause_s)

    def _account(self, work: Callable[[], None]) -> None:
        """Do the work of a round, add its CPU time, and set the pause that the budget requires."""
        began, cpu_before = time.monotonic(), time.process_time()
        try:
            work()
        finally:
            cpu_s, round_s = time.process_time() - cpu_before, time.monotonic() - began
            self._pause_s = max(self.options.interval_s, cpu_s / self.cpu_budget) - round_s
            with self.lock:
                self.cpu_s += cpu_s
                self.round_s = round_s

    def _take_round(self, references: Sequence[Reference]) -> None:
        with ExitStack() as stack:
            try:
                open_journal = stack.enter_context(journal.open_journal())
            except BusyError as error:
                # A benchmark has the journal: two at once would measure each other.
                log.info("probe round skipped: %s", error)
                with self.lock:
                    self.rounds_skipped += 1
                return
            sweep.clean_up(open_journal)
            stack.callback(sweep.clean_up, open_journal)
            for case in self.latencies:
                if self._stopping.is_set():
                    return
                self._measure(case, references, open_journal)
        with self.lock:
            self.rounds += 1
            self.failing = False
            self.last_success = time.time()

    def _measure(
        self, case: ProbeCase, references: Sequence[Reference], open_journal: Journal
    ) -> None:
        self.last_heartbeat = time.monotonic()
        setup = case.setup
        engine = create_engine(case.engine, readonly=False)
        with run.holding(engine, open_journal, setup, references[: case.batch]) as shares:
            overhead, loop = (
                Loop(kind, shares, batch=case.batch, warmup=_WARMUP, rounds=self.options.calls)
                for kind in (engine.overhead_loop, engine.loop)
            )
            overhead.run()
            loop.run()
        self._record(case, overhead, loop)

    def _record(self, case: ProbeCase, overhead: Loop, loop: Loop) -> None:
        with self.lock:
            latencies = self.latencies[case]
            for operation, calls, rejected in zip(
                OPERATIONS[case.engine], loop.steps, overhead.steps, strict=True
            ):
                latencies.buckets[operation].add(calls, case.batch)
                latencies.medians_s[operation] = calls.percentile(50) * 1e-9 / case.batch
                latencies.overheads_s[operation] = rejected.percentile(50) * 1e-9 / case.batch

    def _record_failure(self, error: Exception) -> None:
        grant_error = error if isinstance(error, GrantError) else error.__cause__
        status = grant_error.status if isinstance(grant_error, GrantError) else None
        status_name = "none" if status is None else _status_name(status)
        fields = {"XENGT_STATUS": status_name}
        if isinstance(grant_error, GrantError):
            fields |= {"XENGT_DOMID": str(grant_error.domid), "XENGT_GREF": str(grant_error.gref)}
        expected = isinstance(error, (XengtError, BindingError))
        log.warning(
            "probe round failed: %s",
            error if expected else repr(error),
            extra=fields,
            exc_info=None if expected else error,
        )
        self.count_failure(status_name)

    def _wait(self, seconds: float) -> None:
        """Wait, and update the heartbeat meanwhile."""
        end = time.monotonic() + seconds
        while (remaining := end - time.monotonic()) > 0:
            self.last_heartbeat = time.monotonic()
            if self._stopping.wait(min(remaining, _HEARTBEAT_S)):
                return
