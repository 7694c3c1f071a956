"""The fit recovers the coefficients of the universal scalability law, with intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, isfinite, log
from random import Random
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from xengt.scaling.law import Coefficient, ScalingLaw, fit_law

SIMULATIONS = 300
THREADS = (1, 2, 4, 8, 16, 32, 64)
REPEATS = 5

Points = list[tuple[int, float]]


@dataclass(frozen=True)
class Curve:
    """A law with known coefficients."""

    thread_throughput_per_s: float
    contention: float
    coherency: float

    def throughput(self, threads: int) -> float:
        others = threads - 1
        slowdown = 1 + self.contention * others + self.coherency * threads * others
        return self.thread_throughput_per_s * threads / slowdown

    def points(self, threads: Sequence[int] = THREADS) -> Points:
        return [(count, self.throughput(count)) for count in threads]

    def noisy(self, random: Random, deviation: float, repeats: int = REPEATS) -> Points:
        return [
            (count, throughput * exp(random.gauss(0, deviation)))
            for count, throughput in self.points()
            for _ in range(repeats)
        ]


LINEAR = Curve(8e5, 0, 0)
SERIAL = Curve(1e6, 0.3, 0)
MODERATE = Curve(1e6, 0.1, 0.001)
CONTENDED = Curve(5e5, 0.5, 0.05)
CURVES = {
    "linear": LINEAR,
    "serial": SERIAL,
    "coherent": Curve(1e6, 0, 0.01),
    "moderate": MODERATE,
    "contended": CONTENDED,
    "falling": Curve(2e6, 3, 0.1),
}
POSITIVE = ("moderate", "contended", "falling")
"""The curves whose coefficients are all above 0."""

UNRELATED: Points = [(1, 0.7), (2, 37.0), (3, 0.9), (8, 40.0), (16, 0.2), (64, 9.0)]
"""Points that no law fits."""


def curves(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("curve", [CURVES[name] for name in names], ids=names)


def seeded(seed: object) -> Random:
    return Random(str(seed))  # noqa: S311 (samples, not secrets)


def coherency_of(law: ScalingLaw) -> Coefficient:
    assert law.coherency is not None
    return law.coherency


def coefficients(law: ScalingLaw) -> tuple[Coefficient, Coefficient, Coefficient]:
    return law.thread_throughput_per_s, law.contention, coherency_of(law)


def contains(coefficient: Coefficient, value: float) -> bool:
    assert coefficient.low is not None
    assert coefficient.high is not None
    return coefficient.low <= value <= coefficient.high


@curves(*CURVES)
def test_points_without_noise_give_the_coefficients(curve: Curve) -> None:
    law = fit_law(curve.points())
    assert law.thread_throughput_per_s.value == pytest.approx(
        curve.thread_throughput_per_s, rel=1e-9
    )
    assert law.contention.value == pytest.approx(curve.contention, rel=1e-9, abs=1e-9)
    assert coherency_of(law).value == pytest.approx(curve.coherency, rel=1e-9, abs=1e-12)
    assert law.relative_residual < 1e-9
    for threads in (1, 3, 200):
        assert law.throughput_per_s(threads) == pytest.approx(curve.throughput(threads), rel=1e-8)


def test_linear_scaling_has_no_contention() -> None:
    law = fit_law(LINEAR.points())
    assert (law.contention.value, coherency_of(law).value) == (0, 0)


def test_scaling_that_is_better_than_linear_has_no_contention() -> None:
    law = fit_law([(threads, 1e5 * threads**1.1) for threads in THREADS])
    assert (law.contention.value, coherency_of(law).value) == (0, 0)
    assert law.relative_residual > 0.05


@pytest.mark.parametrize("seed", range(5))
@curves(*CURVES)
def test_noise_of_2_percent_changes_the_throughput_of_one_thread_by_less_than_5(
    curve: Curve, seed: int
) -> None:
    law = fit_law(curve.noisy(seeded(seed), 0.02))
    assert law.thread_throughput_per_s.value == pytest.approx(
        curve.thread_throughput_per_s, rel=0.05
    )
    assert law.relative_residual == pytest.approx(0.02, rel=0.4)


@pytest.mark.parametrize("seed", range(5))
def test_noise_of_2_percent_changes_strong_contention_by_less_than_5(seed: int) -> None:
    law = fit_law(CONTENDED.noisy(seeded(seed), 0.02))
    assert law.contention.value == pytest.approx(CONTENDED.contention, rel=0.05)
    assert coherency_of(law).value == pytest.approx(CONTENDED.coherency, rel=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_noise_of_2_percent_changes_moderate_contention_by_less_than_15(seed: int) -> None:
    law = fit_law(MODERATE.noisy(seeded(seed), 0.02))
    assert law.contention.value == pytest.approx(MODERATE.contention, rel=0.15)
    assert coherency_of(law).value == pytest.approx(MODERATE.coherency, rel=0.15)


def test_the_throughput_of_one_thread_is_not_biased_by_noise() -> None:
    random = seeded("bias")
    found = [
        fit_law(MODERATE.noisy(random, 0.2)).thread_throughput_per_s.value
        for _ in range(SIMULATIONS)
    ]
    # Weights from the measured throughputs overestimate it by 6 %.
    assert fmean(found) == pytest.approx(MODERATE.thread_throughput_per_s, rel=0.02)


@pytest.mark.parametrize("deviation", [0.02, 0.1])
@curves(*POSITIVE)
def test_the_intervals_have_their_nominal_coverage(
    curve: Curve, deviation: float, record_property: Callable[[str, object], None]
) -> None:
    random = seeded("coverage")
    true = (curve.thread_throughput_per_s, curve.contention, curve.coherency)
    laws = [fit_law(curve.noisy(random, deviation)) for _ in range(SIMULATIONS)]
    for number, name in enumerate(("throughput", "contention", "coherency")):
        covered = sum(contains(coefficients(law)[number], true[number]) for law in laws)
        print(f"{name}: {covered / SIMULATIONS:.1%}")
        record_property(name, covered / SIMULATIONS)
        assert 0.9 <= covered / SIMULATIONS <= 0.99


@curves("linear", "serial", "coherent")
def test_the_intervals_of_coefficients_at_zero_are_not_too_narrow(curve: Curve) -> None:
    random = seeded("zero")
    true = (curve.thread_throughput_per_s, curve.contention, curve.coherency)
    laws = [fit_law(curve.noisy(random, 0.05, repeats=2)) for _ in range(SIMULATIONS)]
    for number in range(3):
        covered = sum(contains(coefficients(law)[number], true[number]) for law in laws)
        assert covered / SIMULATIONS >= 0.93


@curves(*POSITIVE)
def test_the_fit_and_its_intervals_equal_those_of_scipy(curve: Curve) -> None:
    points = curve.noisy(seeded("scipy"), 0.1)
    threads = np.array([count for count, _ in points], dtype=float)
    measured = np.log([throughput for _, throughput in points])

    def residuals(tried: np.ndarray) -> np.ndarray:
        throughput, contention, coherency = tried
        slowdown = 1 + contention * (threads - 1) + coherency * threads * (threads - 1)
        return measured - np.log(throughput * 1e6 * threads / slowdown)

    found = optimize.least_squares(
        residuals, [0.3, 0.3, 0.003], bounds=(1e-9, np.inf), x_scale="jac", xtol=1e-14, ftol=1e-14
    )
    freedom = len(points) - 3
    errors = np.sqrt(np.diag(np.linalg.inv(found.jac.T @ found.jac)) * 2 * found.cost / freedom)
    scale = np.array([1e6, 1, 1])
    half_widths = stats.t.ppf(0.975, freedom) * errors * scale
    law = coefficients(fit_law(points))
    assert [each.value for each in law] == pytest.approx(found.x * scale, rel=1e-5)
    assert [each.high - each.value for each in law] == pytest.approx(half_widths, rel=1e-3)
    assert [each.value - each.low for each in law] == pytest.approx(half_widths, rel=1e-3)


def test_an_interval_does_not_extend_below_zero() -> None:
    for seed in range(20):
        for coefficient in coefficients(fit_law(SERIAL.noisy(seeded(seed), 1, repeats=1))):
            assert coefficient.low is not None
            assert coefficient.low >= 0


def test_two_numbers_of_threads_do_not_determine_the_coherency() -> None:
    law = fit_law(SERIAL.points((1, 8)))
    assert law.contention == Coefficient(pytest.approx(0.3), None, None)
    assert law.coherency is None
    assert law.peak_threads is None
    assert law.throughput_per_s(64) == pytest.approx(SERIAL.throughput(64))


def test_two_numbers_of_threads_leave_two_coefficients_out_of_the_degrees_of_freedom() -> None:
    points = [(1, 99.0), (1, 101.0), (4, 202.0), (4, 198.0)]
    law = fit_law(points)
    # Two coefficients reproduce the geometric mean of each number of threads.
    deviation = (sum(log(ratio) ** 2 for ratio in (0.99, 1.01, 0.99, 1.01)) / 2) ** 0.5
    half_width = stats.t.ppf(0.975, 2) * deviation / 2**0.5
    assert law.thread_throughput_per_s.value == pytest.approx(100, rel=1e-3)
    assert law.thread_throughput_per_s.high == pytest.approx(100 * (1 + half_width), rel=1e-3)


def test_as_many_points_as_coefficients_have_no_intervals() -> None:
    for coefficient in coefficients(fit_law(CONTENDED.points((1, 4, 16)))):
        assert coefficient.low is None
        assert coefficient.high is None


def test_one_more_point_than_coefficients_has_intervals() -> None:
    law = fit_law([*CONTENDED.points((1, 4, 16)), (4, 1.02 * CONTENDED.throughput(4))])
    for coefficient in coefficients(law):
        assert coefficient.low is not None
        assert coefficient.low < coefficient.value < coefficient.high


def test_points_without_one_thread_are_extrapolated() -> None:
    law = fit_law(CONTENDED.points((4, 8, 16, 32)))
    assert law.throughput_per_s(1) == pytest.approx(CONTENDED.throughput(1), rel=1e-9)
    assert law.thread_throughput_per_s.value == pytest.approx(law.throughput_per_s(1))


def test_the_throughput_peaks_and_then_falls() -> None:
    law = fit_law(MODERATE.noisy(seeded("peak"), 0.02))
    assert law.peak_threads == pytest.approx((0.9 / 0.001) ** 0.5, rel=0.05)
    peak = law.throughput_per_s(law.peak_threads)
    assert peak > law.throughput_per_s(law.peak_threads - 1)
    assert peak > law.throughput_per_s(law.peak_threads + 1)


@pytest.mark.parametrize(("contention", "coherency"), [(3, 0.1), (3, 0), (0.9, 0.4)])
def test_a_throughput_that_falls_from_the_start_peaks_at_one_thread(
    contention: float, coherency: float
) -> None:
    assert fit_law(Curve(1e6, contention, coherency).points()).peak_threads == 1


@curves("linear", "serial")
def test_a_throughput_that_never_falls_has_no_peak(curve: Curve) -> None:
    assert fit_law(curve.points()).peak_threads is None


def test_rounding_errors_are_no_coherency() -> None:
    for throughput in range(1000, 1100):
        law = fit_law(Curve(throughput, 0.3, 0).points())
        assert coherency_of(law).value == 0
        assert law.peak_threads is None


def test_the_fit_converges_for_points_that_no_law_fits() -> None:
    def squares(throughput: float, contention: float, coherency: float) -> float:
        curve = Curve(throughput, contention, coherency)
        return sum(log(value / curve.throughput(count)) ** 2 for count, value in UNRELATED)

    found = [coefficient.value for coefficient in coefficients(fit_law(UNRELATED))]
    least = squares(*found)
    random = seeded("unrelated")
    for _ in range(500):
        # The offset lets a coefficient leave 0.
        tried = [value * exp(random.gauss(0, 0.1)) + abs(random.gauss(0, 1e-6)) for value in found]
        assert squares(*tried) >= least * (1 - 1e-9)


@pytest.mark.parametrize(
    "points",
    [
        pytest.param([(2, 1.0), (4, 0.5)], id="two points"),
        pytest.param([(4, 100.0), (8, 40.0), (16, 18.0)], id="three points"),
    ],
)
def test_a_steep_fall_does_not_determine_the_throughput_of_one_thread(points: Points) -> None:
    with pytest.raises(ValueError, match="points do not determine the throughput of one thread"):
        fit_law(points)


@pytest.mark.parametrize("points", [[], [(4, 1e5)], [(4, 1e5), (4, 1.1e5)]], ids=str)
def test_less_than_two_numbers_of_threads_are_rejected(points: Points) -> None:
    with pytest.raises(ValueError, match="points must have at least two different numbers"):
        fit_law(points)


@pytest.mark.parametrize("threads", [0, -1, 1.5, float("inf"), float("nan")])
def test_a_number_of_threads_out_of_range_is_rejected(threads: float) -> None:
    with pytest.raises(ValueError, match="points: threads must be a whole number from 1, not"):
        fit_law([(1, 1e5), (2, 2e5), (threads, 3e5)])


@pytest.mark.parametrize("throughput", [0, -1, float("inf"), float("nan")])
def test_a_throughput_out_of_range_is_rejected(throughput: float) -> None:
    with pytest.raises(ValueError, match="points: throughput_per_s must be positive, not"):
        fit_law([(1, 1e5), (2, 2e5), (4, throughput)])


@pytest.mark.parametrize("threads", [0, 0.9, float("nan")])
def test_the_modelled_throughput_requires_a_thread(threads: float) -> None:
    with pytest.raises(ValueError, match="threads must be at least 1, not"):
        fit_law(MODERATE.points()).throughput_per_s(threads)


MEASURED = st.lists(
    st.tuples(st.integers(2, 1024), st.floats(1e2, 1e8)), min_size=1, max_size=12
).map(lambda points: [(1, 1e5), *points])
"""Any points, one of them with one thread."""


@given(MEASURED)
@settings(deadline=None)
def test_any_points_have_a_law(points: Points) -> None:
    law = fit_law(points)
    assert law.thread_throughput_per_s.value > 0
    for each in (law.thread_throughput_per_s, law.contention, law.coherency):
        if each is not None:
            assert isfinite(each.value)
            assert each.value >= 0
        if each is not None and each.low is not None:
            assert each.high is not None
            assert 0 <= each.low <= each.value <= each.high
    peak = law.peak_threads
    if peak is not None:
        assert law.throughput_per_s(peak) >= law.throughput_per_s(1) * (1 - 1e-9)


@given(
    st.builds(Curve, st.floats(1e3, 1e7), st.floats(0, 2), st.floats(0, 0.1)),
    st.sets(st.integers(2, 256), min_size=2, max_size=8),
)
@settings(deadline=None)
def test_any_law_is_recovered(curve: Curve, others: set[int]) -> None:
    law = fit_law(curve.points((1, *others)))
    assert law.throughput_per_s(1) == pytest.approx(curve.throughput(1), rel=1e-6)
    assert law.throughput_per_s(max(others)) == pytest.approx(
        curve.throughput(max(others)), rel=1e-6
    )
    assert law.contention.value == pytest.approx(curve.contention, rel=1e-6, abs=1e-6)


@given(st.permutations(CONTENDED.noisy(seeded("order"), 0.1)), st.floats(1e-3, 1e3))
@settings(deadline=None, max_examples=20)
def test_the_order_and_the_unit_of_the_points_do_not_matter(points: Points, unit: float) -> None:
    base = fit_law(CONTENDED.noisy(seeded("order"), 0.1))
    law = fit_law([(threads, throughput * unit) for threads, throughput in points])
    assert law.thread_throughput_per_s.high == pytest.approx(
        base.thread_throughput_per_s.high * unit
    )
    assert law.contention.value == pytest.approx(base.contention.value)
    assert law.contention.low == pytest.approx(base.contention.low)
    assert coherency_of(law).high == pytest.approx(coherency_of(base).high)
