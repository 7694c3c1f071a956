"""Queueing model that extrapolates measured throughput of map/unmap pairs to more CPUs.

Service times: without contention a pair takes a CPU `alone` seconds, measured with one thread. A
cache line that another CPU wrote last takes `transfer` seconds to fetch, and no other CPU has it
while it is in use. For each scenario and hypervisor, SHARED lists the lines that a pair shares with
pairs of other CPUs: their number, how often each is fetched per pair, and the part of a pair for
which each is held, as a lock is.

Queues: each shared line is a station that serves one CPU at a time, for `transfer` per visit plus,
for a lock, the part of `alone` for which it is held; a CPU spends the rest of a pair alone. All
CPUs circulate forever. Mean value analysis gives the exact throughput. With one CPU there are no
transfers.

Assumptions that are not measured:

- A transfer takes the same time between any two CPUs. This holds within a chiplet; between chiplets
  or sockets it takes two to five times as long, so for 64 CPUs this is the best case for shared
  lines. Scenarios without shared lines are not affected.
- The time of a visit does not depend on the number of waiting CPUs. Xen's ticket locks get slower
  with each waiting CPU, as all of them read the line that is written; so this is also the best
  case.
- Lines that are only read cost nothing once cached, such as a granter's table and its lock word, as
  readers of the lock each write a line of their own.
- There are no version switches, table growth or domain destruction. Hypercall entry, TLB flushes
  and the guest's own work come on top in Xen, equally for both, so the relative gain is smaller
  there.
- CPUs do nothing else, and none is a sibling thread of another.

`transfer` is a single number, fitted to all measurements with more than one thread; the reported
error shows how well it explains all scenarios and both hypervisors.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: range and steps of the fit of the transfer time, nanoseconds
SMALLEST, LARGEST, STEPS = 1.0, 2000.0, 400


@dataclass(frozen=True)
class Shared:
    """Shared cache lines of one kind.

    Attributes:
        what: description.
        lines: number of lines.
        visits: fetches of each line per pair.
        held: part of a pair for which each line is held, 0 to 1.
    """

    what: str
    lines: int
    visits: int
    held: float = 0.0


#: three critical sections of an active entry's lock, together about a third of a pair
ENTRY = Shared("active entry: its lock, pin and slots", 1, 3, 0.3)
PAGE = Shared("page: taking and dropping a reference", 1, 2)
#: (scenario, hypervisor) → shared lines; in `shared`, a pair uses one of `batch` references
SHARED: Mapping[tuple[str, str], tuple[Shared, ...]] = {
    ("disjoint", "stock"): (),
    ("disjoint", "patched"): (),
    ("granters", "stock"): (),
    ("granters", "patched"): (),
    ("shared", "stock"): (ENTRY, PAGE),
    ("shared", "patched"): (ENTRY, PAGE),
    # Each pair takes the maptrack table's lock and searches the free lists of all vCPUs.
    ("stealing", "stock"): (
        Shared("maptrack lock", 1, 1),
        Shared("another vCPU's free list, its lock", 1, 2),
    ),
    ("stealing", "patched"): (),
}


@dataclass(frozen=True)
class Point:
    """A measured rate: pairs per second of all threads, as if each had its own CPU."""

    scenario: str
    side: str
    threads: int
    batch: int
    rate: float


def rate(alone: float, shared: Iterable[Shared], transfer: float, cpus: int, copies: int) -> float:
    """Return the pairs per second of all CPUs together.

    Args:
        alone: seconds per pair without contention.
        shared: lines shared with pairs of other CPUs.
        transfer: seconds to transfer a line between CPUs.
        cpus: number of CPUs that map and unmap.
        copies: number of instances of each line, such as references of a batch.
    """
    if cpus == 1:
        return 1 / alone
    stations = [
        (kind.visits * transfer + kind.held * alone) / copies
        for kind in shared
        for _ in range(kind.lines * copies)
    ]
    free = alone - sum(kind.held * kind.lines for kind in shared) * alone
    waiting = [0.0] * len(stations)
    found = 0.0
    for customers in range(1, cpus + 1):
        stays = [demand * (1 + queue) for demand, queue in zip(stations, waiting, strict=True)]
        found = customers / (free + sum(stays))
        waiting = [found * stay for stay in stays]
    return found


def alone_of(points: Iterable[Point], like: Point) -> float:
    """Return the measured seconds per pair with one thread.

    Raises:
        KeyError: there is no measurement with one thread.
    """
    for point in points:
        same = (point.scenario, point.side, point.batch) == (like.scenario, like.side, like.batch)
        if same and point.threads == 1:
            return 1 / point.rate
    raise KeyError(
        f"{like.scenario}, {like.side}, batch {like.batch}: no measurement with one thread"
    )


def predicted(points: list[Point], point: Point, transfer: float) -> float:
    """Return the modelled rate of a point, from the measurement with one thread."""
    copies = point.batch if point.scenario == "shared" else 1
    shared = SHARED[point.scenario, point.side]
    return rate(alone_of(points, point), shared, transfer, point.threads, copies)


def fitted(points: list[Point]) -> float:
    """Return the transfer time, in seconds, with the least squares of relative errors."""
    several = [point for point in points if point.threads > 1]

    def error(transfer: float) -> float:
        return sum((predicted(points, p, transfer) / p.rate - 1) ** 2 for p in several)

    ratio = (LARGEST / SMALLEST) ** (1 / STEPS)
    return min((SMALLEST * ratio**n * 1e-9 for n in range(STEPS + 1)), key=error)


def report(points: list[Point], cpus: Iterable[int] = (8, 16, 64)) -> str:
    """Return a text with the fit, its error on each point, and predictions for more CPUs."""
    transfer = fitted(points)
    more = tuple(cpus)
    lines = [
        f"transfer time of a line: {transfer * 1e9:.0f} ns",
        "scenario  batch  threads  side       measured     model  error",
    ]
    for p in points:
        model = predicted(points, p, transfer)
        lines.append(
            f"{p.scenario:<9} {p.batch:>5}  {p.threads:>7}  {p.side:<7} {p.rate:>11,.0f}"
            f" {model:>9,.0f} {model / p.rate - 1:>+6.0%}"
        )
    lines.append("predicted ratio of patched to stock, by CPUs: " + ", ".join(map(str, more)))
    for point in points:
        if point.threads != 1 or point.side != "stock":
            continue
        ratios = []
        for count in more:
            both = [
                predicted(points, Point(point.scenario, side, count, point.batch, 0.0), transfer)
                for side in ("stock", "patched")
            ]
            ratios.append(f"{both[1] / both[0]:.2f} ({both[1]:,.0f} per second)")
        lines.append(f"{point.scenario:<9} {point.batch:>5}  {', '.join(ratios)}")
    return "\n".join(lines)
