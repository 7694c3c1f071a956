"""Pairs of a map and an unmap a second, by one and two CPUs at once, stock against patched.

A short run always, for the program to be right; with --long the figures, and the bounds on them.
Time is the threads' own: what else the machine does takes none of it, but keeps them from meeting,
so that what is shared needs a quiet machine. What the load was is told with the figures.
"""

import os
import statistics
import subprocess
from pathlib import Path

import pytest

from tests.hypervisor.contention.model import SHARED, Point, Shared, fitted, predicted, rate, report
from tests.hypervisor.userspace import HERE
from tests.patience import patient

#: as Xen's release build has it
OPTIMISED = ("-O2", "-DNDEBUG")
SCENARIOS = ("disjoint", "granters", "shared", "stealing")
#: what is stolen is one entry at a time
BATCHES = {"stealing": (1,)}
BLOCKS, MILLISECONDS = 6, 200
#: two threads, one granter, disjoint references: at least so many times stock's; and both of one's
GAIN, SCALING = 1.3, 1.9


@pytest.fixture(scope="module")
def contention(build) -> Path:
    return build("contention", ["contention/contention.c"], (*OPTIMISED, f"-I{HERE / 'harness'}"))


def rounds(
    contention: Path, scenario: str, threads: int, batch: int, milliseconds: int, count: int
) -> dict[str, list[tuple[float, float, int]]]:
    """By side and round: pairs a second of the threads' time, of the wall's; how many refused."""
    words = map(str, (scenario, threads, batch, milliseconds, count))
    done = subprocess.run(
        [contention, *words], capture_output=True, text=True, check=False, timeout=patient(300)
    )
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, list] = {"stock": [], "patched": []}
    for line in done.stdout.splitlines():
        side, pairs, refused, wall, own = line.split()
        found[side].append(
            (int(pairs) * threads / float(own), int(pairs) / float(wall), int(refused))
        )
    return found


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_program(contention, scenario, threads):
    for batch in BATCHES.get(scenario, (1, 32)):
        found = rounds(contention, scenario, threads, batch, 20, 2)
        for side in found:
            assert len(found[side]) == 2
            assert all(own > 1000 for own, _, _ in found[side])
        assert all(refused == 0 for _, _, refused in found["patched"])
        if scenario != "stealing":
            assert all(refused == 0 for _, _, refused in found["stock"])


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


def taken(contention: Path, scenario: str, batch: int) -> dict[tuple[str, int], list]:
    """By side and threads, all by turns: what of the machine changes with time changes for all."""
    found: dict[tuple[str, int], list] = {}
    for _ in range(BLOCKS):
        for threads in (1, 2):
            for side, results in rounds(
                contention, scenario, threads, batch, MILLISECONDS, 2
            ).items():
                found.setdefault((side, threads), []).extend(results)
    return found


def ratios(new: list, old: list, clock: int) -> list[float]:
    return [a[clock] / b[clock] for a, b in zip(new, old, strict=True)]


@pytest.mark.long
def test_pairs_a_second(contention, capsys):
    points, told, gains, scalings = [], [], {}, {}
    for scenario in SCENARIOS:
        for batch in BATCHES.get(scenario, (1, 32)):
            found = taken(contention, scenario, batch)
            for (side, threads), results in found.items():
                own = statistics.median(result[0] for result in results)
                points.append(Point(scenario, side, threads, batch, own))
            for threads in (1, 2):
                both = found["patched", threads], found["stock", threads]
                gains[scenario, batch, threads] = statistics.median(ratios(*both, 0))
                told.append(
                    f"{scenario}, batch {batch}, {threads} threads: patched to stock "
                    f"{spread(ratios(*both, 0))}, by the wall's clock {spread(ratios(*both, 1))}"
                )
            for side in ("stock", "patched"):
                both = found[side, 2], found[side, 1]
                scalings[scenario, batch, side] = statistics.median(ratios(*both, 0))
                told.append(
                    f"{scenario}, batch {batch}, {side}: 2 threads to 1 {spread(ratios(*both, 0))}"
                )
    load = f"load: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs"
    with capsys.disabled():
        print("\n" + "\n".join([load, *told, report(points)]))
    for batch in (1, 32):
        assert gains["disjoint", batch, 2] >= GAIN
        assert scalings["disjoint", batch, "patched"] >= SCALING


def test_the_model_of_what_is_not_shared():
    assert rate(1e-6, (), 1e-7, 64, 1) == pytest.approx(64e6)


def test_the_model_of_what_is_shared():
    """One line that is all there is to a pair goes round as fast as it can be handed on."""
    line = (Shared("a line", 1, 1),)
    assert rate(1e-9, line, 1e-7, 64, 1) == pytest.approx(1e7, rel=0.02)
    # With many lines the CPUs rarely meet at one.
    assert rate(1e-6, line, 1e-7, 2, 32) == pytest.approx(2 / 1.1e-6, rel=0.01)


def test_the_fit_finds_what_points_were_made_with():
    points = [Point(*which, 1, 1, 3e6) for which in SHARED]
    made = [
        Point(*which, 2, 1, predicted(points, Point(*which, 2, 1, 0.0), 150e-9)) for which in SHARED
    ]
    assert fitted([*points, *made]) == pytest.approx(150e-9, rel=0.02)
    assert " +1%" not in report([*points, *made])
    # Without a price for a line the points with two threads cannot be explained.
    assert predicted(points, points[0], 0.0) == pytest.approx(3e6)
    assert predicted([*points, *made], made[4], 1e-9) > 1.05 * made[4].rate
