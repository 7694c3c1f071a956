"""What pairs a second would be with more CPUs than there are here: a small model.

What a pair is made of. A CPU spends `alone` on a pair while it meets no other: measured with one
thread. Where CPUs want the same cache line, it comes from whoever wrote it last, which takes
`transfer`, and while it is used nobody else has it. For each scenario and hypervisor `SHARED` says
what each pair has in common with those of the other CPUs: how many different lines are met, how
often each is fetched in a pair, and whether they are held, as a lock is.

How CPUs meet. Each shared line is a station that serves one CPU at a time, for `transfer` a visit,
plus, where it is a lock, the part of `alone` it is held for; the rest of a pair is spent alone. All
CPUs go round these stations for ever. What comes of it is computed exactly, by mean value analysis.
With one CPU the line is always there already: no transfer.

What is assumed, and not measured:

- A transfer takes as long from any CPU to any other. Within one chiplet that is so; across chiplets
  or sockets it takes two to five times as long, so with 64 CPUs this is the best case of what is
  shared, and what is not shared is not touched by it.
- A visit takes the same however many wait. Xen's ticket locks get slower with each who waits, as
  all of them read the line that is written: once more the best case.
- Lines that are only read cost nothing once they are there; a granter's table and its lock's word
  are such, as the lock's readers each write a line of their own.
- Nobody changes a version, grows a table, or ends. A hypercall's entry, a TLB flush and the guest's
  own work come on top in Xen, the same for both: what is gained is a smaller part of that.
- A CPU does nothing else, and none is a sibling thread of another.

`transfer` is fitted, one number for all that was measured with more than one thread: so the error
shown is how far one price of a line explains all scenarios and both hypervisors.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: of the transfer's fit: nanoseconds
SMALLEST, LARGEST, STEPS = 1.0, 2000.0, 400


@dataclass(frozen=True)
class Shared:
    """Lines of one kind: how many, visits of a pair to each, part of a pair each is held for."""

    what: str
    lines: int
    visits: int
    held: float = 0.0


#: of an active entry's lock: three critical sections, together about a third of a pair
ENTRY = Shared("active entry: its lock, pin and slots", 1, 3, 0.3)
PAGE = Shared("page: a reference more, one less", 1, 2)
#: (scenario, side) → what is shared; each pair of `shared` is about one of `batch` references
SHARED: Mapping[tuple[str, str], tuple[Shared, ...]] = {
    ("disjoint", "stock"): (),
    ("disjoint", "patched"): (),
    ("granters", "stock"): (),
    ("granters", "patched"): (),
    ("shared", "stock"): (ENTRY, PAGE),
    ("shared", "patched"): (ENTRY, PAGE),
    # Each takes the lock that is the table's, and looks through the lists of all vCPUs.
    ("stealing", "stock"): (
        Shared("maptrack lock", 1, 1),
        Shared("another vCPU's free list, its lock", 1, 2),
    ),
    ("stealing", "patched"): (),
}


@dataclass(frozen=True)
class Point:
    """A measured rate: pairs a second of all threads together, as if each had a CPU of its own."""

    scenario: str
    side: str
    threads: int
    batch: int
    rate: float


def rate(alone: float, shared: Iterable[Shared], transfer: float, cpus: int, apart: int) -> float:
    """Return the pairs a second of all CPUs together.

    Args:
        alone: seconds of a pair that meets nobody.
        shared: what it has in common with others'.
        transfer: seconds a shared line takes from one CPU to another.
        cpus: how many do nothing but pairs.
        apart: how many of each line there are, that CPUs go round: references of a batch.
    """
    if cpus == 1:
        return 1 / alone
    stations = [
        (kind.visits * transfer + kind.held * alone) / apart
        for kind in shared
        for _ in range(kind.lines * apart)
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
    """The seconds of a pair with one thread, as it was measured."""
    for point in points:
        same = (point.scenario, point.side, point.batch) == (like.scenario, like.side, like.batch)
        if same and point.threads == 1:
            return 1 / point.rate
    raise KeyError(f"{like.scenario}, {like.side}, batch {like.batch}: not measured alone")


def predicted(points: list[Point], point: Point, transfer: float) -> float:
    """What the model says of a point, from the one measured alone."""
    apart = point.batch if point.scenario == "shared" else 1
    shared = SHARED[point.scenario, point.side]
    return rate(alone_of(points, point), shared, transfer, point.threads, apart)


def fitted(points: list[Point]) -> float:
    """The transfer, in seconds, that leaves the smallest sum of squares of relative errors."""
    several = [point for point in points if point.threads > 1]

    def error(transfer: float) -> float:
        return sum((predicted(points, p, transfer) / p.rate - 1) ** 2 for p in several)

    ratio = (LARGEST / SMALLEST) ** (1 / STEPS)
    return min((SMALLEST * ratio**n * 1e-9 for n in range(STEPS + 1)), key=error)


def report(points: list[Point], cpus: Iterable[int] = (8, 16, 64)) -> str:
    """The fit, its error on each measured point, and what it says of more CPUs."""
    transfer = fitted(points)
    more = tuple(cpus)
    lines = [
        f"transfer of a line: {transfer * 1e9:.0f} ns",
        "scenario  batch  threads  side       measured     model  error",
    ]
    for p in points:
        said = predicted(points, p, transfer)
        lines.append(
            f"{p.scenario:<9} {p.batch:>5}  {p.threads:>7}  {p.side:<7} {p.rate:>11,.0f}"
            f" {said:>9,.0f} {said / p.rate - 1:>+6.0%}"
        )
    lines.append("patched to stock, by CPUs: " + ", ".join(map(str, more)))
    for point in points:
        if point.threads != 1 or point.side != "stock":
            continue
        ratios = []
        for count in more:
            both = [
                predicted(points, Point(point.scenario, side, count, point.batch, 0.0), transfer)
                for side in ("stock", "patched")
            ]
            ratios.append(f"{both[1] / both[0]:.2f} ({both[1]:,.0f} a second)")
        lines.append(f"{point.scenario:<9} {point.batch:>5}  {', '.join(ratios)}")
    return "\n".join(lines)
