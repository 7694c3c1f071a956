"""A benchmark run: from the plan to the results."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

from xengt.bench.engines import Engine, create_engine
from xengt.bench.granters import create_granter
from xengt.bench.plan import BenchPlan, Setup
from xengt.bench.result import Result, summarise
from xengt.errors import FailedError, UnmetError
from xengt.recovery import sweep
from xengt.recovery.journal import Journal
from xengt.sharing.references import Reference
from xengt.xen import kernel
from xenlib_cffi.errors import GrantError, XenLibraryError
from xenlib_cffi.loop import Loop, ThreadShare

#: rounds a worker runs before it records any: caches, and maptrack's free list
WARMUP = 100
#: calls that the floor is taken from, at the most
FLOOR_SAMPLES = 5_000


@dataclass(frozen=True)
class Progress:
    """Where a run stands, for whoever shows it.

    Attributes:
        index: of the case measured now, from 0.
        cases: in all.
        setup: what is measured now.
        done: the part of it that is done, 0 to 1; of a duration, what is not known yet is 0.
    """

    index: int
    cases: int
    setup: Setup
    done: float


def run_plan(
    plan: BenchPlan, journal: Journal, show: Callable[[Progress], None]
) -> Iterator[Result]:
    """Measure every case of a plan; two results a case, its map and its unmap.

    Whatever ends it, nothing that it mapped or created stays.

    Args:
        plan: what to measure.
        journal: locked, and cleared of what a killed run left.
        show: called twice a second with where the run stands.

    Raises:
        UnmetError: a case that cannot be, or a granter that has not what it needs.
        FailedError: something failed while measuring; says what it means.
    """
    setups = plan.setups()
    index = 0
    for (spec, domains), group in groupby(setups, lambda s: (s.granter, s.granters)):
        cases = list(group)
        with create_granter(spec, domains) as pages:
            if not pages.writable and not all(setup.readonly for setup in cases):
                raise UnmetError(
                    f"{spec} grants its pages for reading alone",
                    "map them with --readonly yes, or share them without --readonly",
                )
            references = pages.references(max(setup.needed for setup in cases))
            try:
                for setup in cases:
                    where = Progress(index, len(setups), setup, 0.0)
                    yield from _measure(plan, setup, references, journal, where, show)
                    index += 1
            finally:
                # While the granter is still there: its domains do not go while they are mapped.
                sweep.clean_up(journal)


def _measure(
    plan: BenchPlan,
    setup: Setup,
    references: Sequence[Reference],
    journal: Journal,
    where: Progress,
    show: Callable[[Progress], None],
) -> Iterator[Result]:
    way = create_engine(setup.engine, readonly=setup.readonly)
    timed, held = split(setup, references)
    rounds = -(-plan.samples // setup.threads) if plan.samples else 0
    expected = rounds * setup.threads

    def watch(done: int) -> None:
        part = done / expected if expected else 0.0
        show(Progress(where.index, where.cases, setup, part))

    watch(0)
    with holding(way, journal, setup, timed, held) as shares:
        floor = Loop(
            way.floor,
            shares,
            batch=setup.batch,
            warmup=WARMUP,
            rounds=min(rounds or FLOOR_SAMPLES, FLOOR_SAMPLES),
            digits=plan.digits,
        )
        floor.run_watched(lambda _: None)
        loop = Loop(
            way.loop,
            shares,
            batch=setup.batch,
            readonly=setup.readonly,
            warmup=WARMUP,
            rounds=rounds,
            seconds=plan.duration_s or 0,
            interval_ns=int(1e9 * setup.threads / setup.rate) if setup.rate else 0,
            digits=plan.digits,
        )
        loop.run_watched(watch)
    _refuse_still_clock(floor)
    both = ((loop.maps, floor.maps), (loop.unmaps, floor.unmaps))
    for operation, (calls, refused) in zip(way.operations, both, strict=True):
        yield summarise(
            setup.case(operation),
            calls,
            samples=loop.rounds,
            elapsed_s=loop.elapsed_s,
            floor_ns=refused.percentile(50) / setup.batch,
        )


def _refuse_still_clock(floor: Loop) -> None:
    """Refuse figures of a clock that cannot tell even the floor from nothing."""
    if not (floor.maps.percentile(50) and floor.unmaps.percentile(50)):
        raise FailedError(
            f"dom0's clock (clocksource {kernel.clocksource()}) stands still for as long as "
            "a whole call takes: the vCPUs' clocks have drifted apart",
            "boot dom0 with clocksource=tsc tsc=reliable, or measure with one vCPU",
        )


def split(setup: Setup, references: Sequence[Reference]) -> tuple[list[Reference], list[Reference]]:
    """The references to time, and those to hold: every domain gives its part of both."""
    each = len(references) // setup.granters
    timed: list[Reference] = []
    held: list[Reference] = []
    for first in range(0, each * setup.granters, each):
        domain = references[first : first + each]
        timed += domain[: setup.references]
        held += domain[setup.references :]
    # With --mappings 3, two mappings of each stay, and the loop makes the third.
    return timed, held[: setup.hold] + timed * (setup.mappings - 1)


@contextmanager
def holding(
    way: Engine,
    journal: Journal,
    setup: Setup,
    timed: Sequence[Reference],
    held: Sequence[Reference],
) -> Iterator[list[ThreadShare]]:
    """Hold what the case holds, and say who maps what, for as long as it is measured."""
    each = len(timed) // setup.threads
    parts = [timed[i * each : (i + 1) * each] for i in range(setup.threads)]
    try:
        try:
            yield way.shares(journal, parts, setup.batch, held)
        finally:
            way.release(journal)
    except (GrantError, XenLibraryError) as error:
        raise way.explain(error) from error
