"""A benchmark run: from the plan to the results."""

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Protocol

from xengt.bench.case import Setup
from xengt.bench.engines import Engine, create_engine
from xengt.bench.granters import create_granter
from xengt.bench.result import Result, summarise
from xengt.errors import FailedError, UnmetError
from xengt.recovery import sweep
from xengt.recovery.journal import Journal
from xengt.sharing import own_pages
from xengt.sharing.references import Reference
from xengt.xen import kernel
from xenlib_cffi.errors import GrantError, XenLibraryError
from xenlib_cffi.loop import Loop, LoopEngine, ThreadShare, Touch

#: Rounds that each thread runs before it records any: they fill caches and maptrack's free list.
WARMUP_ROUNDS = 100
#: The measurement overhead is the median of at most so many rejected calls of each thread.
OVERHEAD_SAMPLES = 5_000


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        index: of the setup that is being measured, from 0.
        setups: number of all setups.
        setup: what is being measured.
        done: the part of this setup that is done, 0 to 1; always 0 where a
            duration was asked for.
    """

    index: int
    setups: int
    setup: Setup
    done: float


class RunPlan(Protocol):
    """What to measure, and for how long."""

    @property
    def samples(self) -> int | None:
        """Calls to time in each setup; None with a duration."""

    @property
    def duration_s(self) -> float | None:
        """Seconds to measure each setup; None with a number of samples."""

    @property
    def digits(self) -> int:
        """Significant digits of the histograms."""

    def setups(self) -> list[Setup]:
        """Return every setup once, in the order to measure them."""


def run_plan(
    plan: RunPlan,
    journal: Journal,
    show: Callable[[Progress], None],
    *,
    measured: Collection[Setup] = (),
) -> Generator[list[Result], None, None]:
    """Measure every setup of a plan, and yield the results of its operations.

    Unless SIGKILL ends it, the run leaves no mapping, grant or domain behind.

    Args:
        plan: what to measure.
        journal: locked, and without records of an earlier run.
        show: called twice a second with the progress.
        measured: setups to leave out.

    Raises:
        UnmetError: a setup cannot be measured, or a granter lacks what the setup needs.
        FailedError: the measurement failed.
    """
    setups = plan.setups()
    left = [setup for setup in setups if setup not in measured]
    index = len(setups) - len(left)
    for (spec, domains), group in groupby(left, lambda s: (s.granter, s.granters)):
        of_granter = list(group)
        with create_granter(spec, domains) as granter:
            if not granter.writable and not all(setup.readonly for setup in of_granter):
                raise UnmetError(
                    f"granter {spec} grants its pages read-only",
                    "run `xengt share` without --readonly, or map them with --readonly yes "
                    "(engines that copy always write to them)",
                )
            required = max(setup.required_references for setup in of_granter)
            references = granter.references(required)
            own_pages.require_other_domains(reference.domid for reference in references)
            try:
                for setup in of_granter:
                    progress = Progress(index, len(setups), setup, 0.0)
                    yield list(_measure(plan, references, journal, progress, show))
                    index += 1
            finally:
                # Before the granter is left: Xen keeps a domain whose pages are still mapped.
                sweep.clean_up(journal)


def _measure(
    plan: RunPlan,
    references: Sequence[Reference],
    journal: Journal,
    progress: Progress,
    show: Callable[[Progress], None],
) -> Iterator[Result]:
    setup = progress.setup
    engine = create_engine(setup.engine, readonly=setup.readonly)
    rounds = -(-plan.samples // setup.threads) if plan.samples else 0
    expected = rounds * setup.threads

    def watch(done: int) -> None:
        show(replace(progress, done=done / expected if expected else 0.0))

    touch = Touch[setup.touch.upper()]
    watch(0)
    with holding(engine, journal, setup, references) as shares:
        overhead = Loop(
            engine.overhead_loop,
            shares,
            batch=setup.batch,
            touch=touch,
            warmup=WARMUP_ROUNDS,
            rounds=min(rounds or OVERHEAD_SAMPLES, OVERHEAD_SAMPLES),
            digits=plan.digits,
        )
        overhead.run_watched(lambda _: None)
        loop = Loop(
            engine.loop,
            shares,
            batch=setup.batch,
            readonly=setup.readonly,
            touch=touch,
            size=setup.bytes,
            warmup=WARMUP_ROUNDS,
            rounds=rounds,
            seconds=plan.duration_s or 0,
            interval_ns=int(1e9 * setup.threads / setup.rate) if setup.rate else 0,
            digits=plan.digits,
        )
        loop.run_watched(watch)
    if engine.overhead_loop is not LoopEngine.EMPTY:
        _check_clock(overhead)
    first, last = engine.operations
    operations = (first, last) if touch is Touch.NONE else (first, "touch", last)
    for operation, calls, rejected in zip(operations, loop.steps, overhead.steps, strict=True):
        yield summarise(
            setup.case(operation),
            calls,
            samples=loop.rounds,
            elapsed_s=loop.elapsed_s,
            floor_ns=rejected.percentile(50) / setup.batch,
        )


def _check_clock(overhead: Loop) -> None:
    """Refuse to report times of a clock that does not even advance during a rejected call."""
    # The touch of an overhead loop, between the two calls, does nothing.
    first, *_, last = overhead.steps
    if not (first.percentile(50) and last.percentile(50)):
        raise FailedError(
            f"dom0's clock (clocksource {kernel.clocksource()}) does not advance during a "
            "whole call: the vCPUs' clocks have drifted apart",
            "boot dom0 with clocksource=tsc tsc=reliable, or measure with one vCPU",
        )


@contextmanager
def holding(
    engine: Engine, journal: Journal, setup: Setup, references: Sequence[Reference]
) -> Iterator[list[ThreadShare]]:
    """Hold the mappings of a setup, and yield each thread's share of the timed references.

    Args:
        engine: maps and unmaps.
        journal: records what is mapped by hypercall.
        setup: what is measured.
        references: those that it requires, of one granter after another.

    Raises:
        XengtError: the engine's explanation of what failed.
    """
    timed, held = setup.timed_and_held(references)
    try:
        try:
            yield engine.prepare(journal, timed, setup.batch, held)
        finally:
            engine.release(journal)
    except (GrantError, XenLibraryError) as error:
        raise engine.explain(error, journal) from error
