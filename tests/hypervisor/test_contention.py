"""Throughput of map/unmap pairs on one and two CPUs at once, stock against patched.

A short run checks the program; --long measures, prints the figures and checks their bounds. Rates
are per CPU second of the threads, so that other load on the machine does not reduce them; but it
keeps the threads from running at once, so contention needs an otherwise idle machine. The load is
printed with the figures.
"""

import os
import statistics
import subprocess
from pathlib import Path

import pytest

from tests.hypervisor.contention.model import SHARED, Point, Shared, fitted, predicted, rate, report
from tests.hypervisor.userspace import HERE
from tests.patience import patient
from xengt.scaling.law import fit_law

#: as in Xen's release build
OPTIMISED = ("-O2", "-DNDEBUG", "-DWITHOUT_TLBS")
SCENARIOS = ("disjoint", "granters", "shared", "stealing")
#: one maptrack entry at a time is stolen
BATCHES = {"stealing": (1,)}
BLOCKS, MILLISECONDS = 6, 200
#: bounds with two threads and disjoint references of one granter: patched to stock, and two threads
#: to one
GAIN, SCALING = 1.3, 1.9
#: relative difference of the scalability law, fitted to one and two threads, from the median rates
FIT = 0.05
#: part of the time that two threads must have run, as threads that do not run do not contend
SHARE = 0.9


@pytest.fixture(scope="module")
def contention(build) -> Path:
    return build("contention", ["contention/contention.c"], (*OPTIMISED, f"-I{HERE / 'harness'}"))


def rounds(
    contention: Path, scenario: str, threads: int, batch: int, milliseconds: int, count: int
) -> dict[str, list[tuple[float, float, int, float]]]:
    """Run the program; return results by hypervisor, one per round.

    A result is pairs per CPU second, pairs per wall-clock second, the number of refused requests,
    and the part of the time that the threads ran.
    """
    words = map(str, (scenario, threads, batch, milliseconds, count))
    done = subprocess.run(
        [contention, *words], capture_output=True, text=True, check=False, timeout=patient(300)
    )
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, list] = {"stock": [], "patched": []}
    for line in done.stdout.splitlines():
        side, pairs, refused, wall, own = line.split()
        found[side].append(
            (
                int(pairs) * threads / float(own),
                int(pairs) / float(wall),
                int(refused),
                float(own) / threads / float(wall),
            )
        )
    return found


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_program_runs_each_scenario(contention, scenario, threads):
    for batch in BATCHES.get(scenario, (1, 32)):
        found = rounds(contention, scenario, threads, batch, 20, 2)
        for side in found:
            assert len(found[side]) == 2
            assert all(own > 1000 for own, *_ in found[side])
        assert all(refused == 0 for _, _, refused, _ in found["patched"])
        if scenario != "stealing":
            assert all(refused == 0 for _, _, refused, _ in found["stock"])


def spread_text(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


def fitted_law(results: dict[int, list]) -> tuple[str, float]:
    """Fit the scalability law to the rates with one and two threads.

    Returns:
        A description, and the largest relative difference of the law from a median rate.
    """
    law = fit_law([(threads, result[0]) for threads in results for result in results[threads]])
    # Two numbers of threads only determine the sum of contention and coherency.
    assert law.coherency is None
    medians = {
        threads: statistics.median(result[0] for result in results[threads]) for threads in results
    }
    error = max(
        abs(law.throughput_per_s(threads) / median - 1) for threads, median in medians.items()
    )
    low, value, high = law.contention.low, law.contention.value, law.contention.high
    return f"contention {value:.3f} [{low:.3f}, {high:.3f}], law off by {error:.1%}", error


def measure(contention: Path, scenario: str, batch: int) -> dict[tuple[str, int], list]:
    """Return results by hypervisor and number of threads, measured in alternation.

    Alternation makes slow changes of the machine's speed affect all of them equally.
    """
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
def test_throughput_is_above_the_bounds(contention, capsys):
    points, lines, errors, shares, gains, scalings = [], [], [], [], {}, {}
    for scenario in SCENARIOS:
        for batch in BATCHES.get(scenario, (1, 32)):
            found = measure(contention, scenario, batch)
            for (side, threads), results in found.items():
                own = statistics.median(result[0] for result in results)
                points.append(Point(scenario, side, threads, batch, own))
                shares.append(statistics.median(result[3] for result in results))
            for threads in (1, 2):
                both = found["patched", threads], found["stock", threads]
                gains[scenario, batch, threads] = statistics.median(ratios(*both, 0))
                lines.append(
                    f"{scenario}, batch {batch}, {threads} threads: patched to stock "
                    f"{spread_text(ratios(*both, 0))}, "
                    f"wall clock {spread_text(ratios(*both, 1))}"
                )
            for side in ("stock", "patched"):
                both = found[side, 2], found[side, 1]
                scalings[scenario, batch, side] = statistics.median(ratios(*both, 0))
                lines.append(
                    f"{scenario}, batch {batch}, {side}: 2 threads to 1 "
                    f"{spread_text(ratios(*both, 0))}"
                )
                law, error = fitted_law({threads: found[side, threads] for threads in (1, 2)})
                errors.append(error)
                lines.append(f"{scenario}, batch {batch}, {side}: {law}")
    load = f"load: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs"
    with capsys.disabled():
        print("\n" + "\n".join([load, *lines, report(points)]))
    if (share := min(shares)) < SHARE:
        pytest.skip(f"two threads ran {share:.0%} of the time, as other processes used the CPUs")
    for batch in (1, 32):
        assert gains["disjoint", batch, 2] >= GAIN
        assert scalings["disjoint", batch, "patched"] >= SCALING
    assert max(errors) <= FIT


def test_the_model_scales_without_shared_lines():
    assert rate(1e-6, (), 1e-7, 64, 1) == pytest.approx(64e6)


def test_the_model_is_limited_by_shared_lines():
    """If a pair consists of one shared line, the transfer time limits the rate."""
    line = (Shared("a line", 1, 1),)
    assert rate(1e-9, line, 1e-7, 64, 1) == pytest.approx(1e7, rel=0.02)
    # With many lines, CPUs rarely contend for the same one.
    assert rate(1e-6, line, 1e-7, 2, 32) == pytest.approx(2 / 1.1e-6, rel=0.01)


def test_the_fit_recovers_the_transfer_time():
    points = [Point(*which, 1, 1, 3e6) for which in SHARED]
    synthetic = [
        Point(*which, 2, 1, predicted(points, Point(*which, 2, 1, 0.0), 150e-9)) for which in SHARED
    ]
    assert fitted([*points, *synthetic]) == pytest.approx(150e-9, rel=0.02)
    assert " +1%" not in report([*points, *synthetic])
    # Without a transfer time the model cannot explain the points with two threads.
    assert predicted(points, points[0], 0.0) == pytest.approx(3e6)
    assert predicted([*points, *synthetic], synthetic[4], 1e-9) > 1.05 * synthetic[4].rate
