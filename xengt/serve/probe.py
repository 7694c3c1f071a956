"""The probe: a few references of a domain of its own, mapped and unmapped now and then.

A thread takes a round, of every case in turn, and then waits: for the interval,
and for as long as the budget wants after what the round has cost.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product

from xengt.bench import run
from xengt.bench.engines import create_engine
from xengt.bench.granters.empty_domains import EmptyDomains
from xengt.bench.plan import Setup
from xengt.errors import UnmetError, XengtError
from xengt.recovery import journal, sweep
from xengt.recovery.journal import Journal
from xengt.serve.config import ProbeOptions
from xengt.serve.metrics.buckets import Buckets
from xengt.sharing.references import Reference
from xengt.xen.maptrack import Maptrack
from xenlib_cffi.errors import BindingError, GrantError, GrantStatus
from xenlib_cffi.loop import Loop

log = logging.getLogger(__name__)

OPERATIONS = ("map", "unmap")
#: rounds of the loop before any is recorded
_WARMUP = 4
#: mappings of a reference that have a fast entry
_FAST = 2


@dataclass(frozen=True)
class ProbeCase:
    """What is measured, of all that a round measures.

    Attributes:
        engine: `hypercall`, `gntdev`.
        batch: references a call.
        mappings: of each reference, the timed one included.
    """

    engine: str
    batch: int
    mappings: int

    @property
    def setup(self) -> Setup:
        """The case as `bench` has it: a batch of references, one thread."""
        return Setup(
            granter="empty",
            granters=1,
            engine=self.engine,
            references=self.batch,
            batch=self.batch,
            threads=1,
            mappings=self.mappings,
            readonly=False,
            hold=0,
            rate=None,
        )

    def path(self, kind: Maptrack, gntdev_entries: int) -> str:
        """Which way the timed mapping takes: `fast`, `slow`, or `unknown`.

        Args:
            kind: the maptrack that the hypervisor keeps.
            gntdev_entries: as of a `Probe`.
        """
        if kind == "unknown":
            return kind
        entries = self.mappings * (gntdev_entries if self.engine == "gntdev" else 1)
        return "fast" if kind == "fast" and entries <= _FAST else "slow"


def _name(status: int) -> str:
    """Xen's name of a status, without which a label would be a number."""
    try:
        return f"GNTST_{GrantStatus(status).name.lower()}"
    except ValueError:
        return str(status)


class Measured:
    """What is known of a case."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.operations = {name: Buckets() for name in OPERATIONS}
        self.floors_s = dict.fromkeys(OPERATIONS, 0.0)


class Probe(threading.Thread):
    """Probes until it is told to stop.

    Attributes:
        engines: of the options, and whether this dom0 has each; without any it takes no round.
        errors: how often it failed, by Xen's status; `none` where it was not Xen that refused.
        busy: rounds not taken because a benchmark was running.
        rounds: taken.
        cpu_s: seconds of CPU time that all rounds took.
        took_s: seconds that the last one took.
        failing: whether the last one failed.
        last_success: when one ended well, in seconds since the epoch; 0: none has.
        beaten: time.monotonic() of the last sign of life.

    Args:
        options: what to do.
        engines: those of the options, and whether this dom0 has each.
        kind: the maptrack that the hypervisor keeps.
        gntdev_entries: mappings of a reference that gntdev makes: 2 in a PV dom0, else 1.
    """

    def __init__(
        self,
        options: ProbeOptions,
        engines: Mapping[str, bool],
        kind: Maptrack,
        *,
        gntdev_entries: int,
    ) -> None:
        """Prepare; `start` begins."""
        super().__init__(name="xengt-probe", daemon=True)
        self._options = options
        self._stopping = threading.Event()
        self._kind = kind
        self._gntdev_entries = gntdev_entries
        self.engines = dict(engines)
        able = [name for name, up in engines.items() if up]
        self.measured = {
            ProbeCase(*each): Measured()
            for each in product(able, options.batches, options.mappings)
        }
        self.lock = threading.Lock()
        self.errors: Counter[str] = Counter()
        self.busy = self.rounds = 0
        self.failing = False
        self.cpu_s = self.took_s = self.last_success = 0.0
        self.beaten = time.monotonic()
        self._pause_s = options.interval_s

    @property
    def cpu_budget(self) -> float:
        """What it may take of one vCPU, on the average."""
        return self._options.cpu_budget

    @property
    def able(self) -> bool:
        """Whether there is anything that it can measure."""
        return bool(self.measured)

    def path(self, case: ProbeCase) -> str:
        """Which way a case's timed mapping takes: `fast`, `slow`, or `unknown`."""
        return case.path(self._kind, self._gntdev_entries)

    def stop(self) -> None:
        """End after the case that is being measured, and wait for that."""
        self._stopping.set()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        """Probe; what fails is counted, and tried again after an interval."""
        while self.able and not self._stopping.is_set():
            try:
                self._probe()
            except (XengtError, BindingError) as error:
                self._failed(error)
                self._wait(self._pause_s)

    def _probe(self) -> None:
        """Take rounds on one granter, until it is to stop or something fails."""
        with EmptyDomains(1) as granter:
            references = granter.references(max(self._options.batches))
            while not self._stopping.is_set():
                self._account(lambda: self._round(references))
                self._wait(self._pause_s)

    def _account(self, work: Callable[[], None]) -> None:
        """Do it, and see what it cost and how long that wants to be waited for."""
        began, before = time.monotonic(), time.process_time()
        try:
            work()
        finally:
            cost, took = time.process_time() - before, time.monotonic() - began
            self._pause_s = max(self._options.interval_s, cost / self.cpu_budget) - took
            with self.lock:
                self.cpu_s += cost
                self.took_s = took

    def _round(self, references: Sequence[Reference]) -> None:
        with ExitStack() as stack:
            try:
                book = stack.enter_context(journal.open_journal())
            except UnmetError as error:
                # A benchmark has it: two at once would measure each other.
                log.info("no round: %s", error)
                with self.lock:
                    self.busy += 1
                return
            sweep.clean_up(book)
            stack.callback(sweep.clean_up, book)
            for case in self.measured:
                if self._stopping.is_set():
                    return
                self._measure(case, references, book)
        with self.lock:
            self.rounds += 1
            self.failing = False
            self.last_success = time.time()

    def _measure(self, case: ProbeCase, references: Sequence[Reference], book: Journal) -> None:
        self.beaten = time.monotonic()
        setup = case.setup
        way = create_engine(case.engine, readonly=False)
        timed, held = run.split(setup, references[: case.batch])
        with run.holding(way, book, setup, timed, held) as shares:
            floor, loop = (
                Loop(kind, shares, batch=case.batch, warmup=_WARMUP, rounds=self._options.calls)
                for kind in (way.floor, way.loop)
            )
            floor.run()
            loop.run()
        self._note(case, floor, loop)

    def _note(self, case: ProbeCase, floor: Loop, loop: Loop) -> None:
        both = zip(OPERATIONS, (loop.maps, loop.unmaps), (floor.maps, floor.unmaps), strict=True)
        with self.lock:
            measured = self.measured[case]
            for operation, calls, refused in both:
                measured.operations[operation].add(calls, case.batch)
                measured.floors_s[operation] = refused.percentile(50) * 1e-9 / case.batch

    def _failed(self, error: Exception) -> None:
        refused = error if isinstance(error, GrantError) else error.__cause__
        status = refused.status if isinstance(refused, GrantError) else None
        word = "none" if status is None else _name(status)
        fields = {"XENGT_STATUS": word}
        if isinstance(refused, GrantError):
            fields |= {"XENGT_DOMID": str(refused.domid), "XENGT_GREF": str(refused.gref)}
        log.warning("the probe failed: %s", error, extra=fields)
        with self.lock:
            self.failing = True
            self.errors[word] += 1

    def _wait(self, seconds: float) -> None:
        """Wait, with a sign of life now and then."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.beaten = time.monotonic()
            if self._stopping.wait(min(left, 1.0)):
                return
