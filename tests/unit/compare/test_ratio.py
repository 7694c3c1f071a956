"""The confidence interval of a ratio has its nominal coverage for three to twenty runs."""

from collections.abc import Callable
from math import exp, log
from random import Random

import pytest
from scipy import stats

from xengt.compare.ratio import Ratio, estimate_ratio, runs_needed

SIMULATIONS = 4_000
TRUE = 0.85

Noise = Callable[[Random], float]


def lognormal(deviation: float) -> Noise:
    return lambda random: exp(random.gauss(0, deviation))


def student(freedom: int) -> Noise:
    """Return noise whose logarithm has Student's t distribution, with heavy tails."""

    def draw(random: Random) -> float:
        chi = random.gammavariate(freedom / 2, 2)
        return exp(0.1 * random.gauss(0, 1) / (chi / freedom) ** 0.5)

    return draw


def pareto(random: Random) -> float:
    """Return noise that only increases a figure, sometimes several times."""
    return random.paretovariate(6)


def spikes(random: Random) -> float:
    """Return noise that is small in nine of ten boots and doubles the figure in the tenth."""
    return exp(random.gauss(0, 0.02)) * (2 if random.random() < 0.1 else 1)


NOISE = {
    "lognormal, 5 %": lognormal(0.05),
    "lognormal, 40 %": lognormal(0.4),
    "Student's t, 3 degrees of freedom": student(3),
    "Pareto": pareto,
}


def coverage(noise: Noise, base: int, new: int) -> float:
    """Return the fraction of simulations whose interval contains the true ratio."""
    random = Random(f"{base} {new}")  # noqa: S311 (samples, not secrets)
    covered = 0
    for _ in range(SIMULATIONS):
        found = estimate_ratio(
            [noise(random) for _ in range(base)], [TRUE * noise(random) for _ in range(new)]
        )
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= TRUE <= found.high
    return covered / SIMULATIONS


@pytest.mark.parametrize("runs", [(3, 3), (5, 5), (10, 10), (20, 20), (3, 20)], ids=str)
@pytest.mark.parametrize("noise", NOISE)
def test_the_interval_has_its_nominal_coverage(
    noise: str, runs: tuple[int, int], record_property: Callable[[str, object], None]
) -> None:
    found = coverage(NOISE[noise], *runs)
    print(f"{noise}, {runs[0]} and {runs[1]} runs: {found:.1%}")
    record_property("coverage", found)
    assert 0.93 <= found <= 0.97


@pytest.mark.parametrize("runs", [(3, 3), (10, 10), (20, 20)], ids=str)
def test_outlying_boots_make_the_interval_too_wide_not_too_narrow(
    runs: tuple[int, int],
) -> None:
    found = coverage(spikes, *runs)
    print(f"spikes, {runs[0]} and {runs[1]} runs: {found:.1%}")
    assert found >= 0.93


def test_the_interval_equals_that_of_scipy() -> None:
    base, new = [100, 130, 90, 104], [80, 85, 99, 70, 90]
    found = estimate_ratio(base, new)
    reference = stats.ttest_ind([log(x) for x in new], [log(x) for x in base])
    low, high = reference.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((exp(low), exp(high)))
    assert found.value == pytest.approx(stats.gmean(new) / stats.gmean(base))


def test_the_ratio_does_not_depend_on_the_unit() -> None:
    base, new = [100, 101, 99, 103, 98], [90, 92, 91, 89, 93]
    found = estimate_ratio(base, new)
    scaled = estimate_ratio([each * 1000 for each in base], [each * 1000 for each in new])
    assert (scaled.value, scaled.low) == pytest.approx((found.value, found.low))


def test_runs_without_noise_have_an_interval_of_width_zero() -> None:
    found = estimate_ratio([100.0] * 3, [50.0] * 7)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    assert found.differs is True


def test_one_run_on_a_side_has_no_interval() -> None:
    assert estimate_ratio([100.0], [50.0, 51.0]) == Ratio(
        pytest.approx(0.505, rel=1e-3), None, None
    )


@pytest.mark.parametrize("base", [[], [0.0, 1.0], [-1.0, 10.0]])
def test_figures_that_are_not_positive_are_rejected(base: list[float]) -> None:
    with pytest.raises(ValueError, match="positive figures"):
        estimate_ratio(base, [1.0, 1.0])


@pytest.mark.parametrize("deviation", [0.05, 0.2])
def test_the_number_of_runs_needed_detects_the_difference_with_80_percent_probability(
    deviation: float,
) -> None:
    random = Random(5)  # noqa: S311 (samples, not secrets)
    noise = lognormal(deviation)
    # Two samples whose standard deviation is exactly `deviation`.
    pair = [exp(deviation / 2**0.5), exp(-deviation / 2**0.5)]
    runs = runs_needed(pair, pair, 0.8)
    assert runs is not None

    def detection_rate(count: int) -> float:
        sides = (
            ([noise(random) for _ in range(count)], [0.8 * noise(random) for _ in range(count)])
            for _ in range(2_000)
        )
        return sum(bool(estimate_ratio(*side).differs) for side in sides) / 2_000

    assert detection_rate(runs) >= 0.78
    assert runs == 2 or detection_rate(runs - 1) < 0.82


def test_the_number_of_runs_needed_is_unknown_without_an_estimate_of_the_noise() -> None:
    assert runs_needed([1.0], [1.0], 0.8) is None
    assert runs_needed([1.0, 2.0], [1.0, 2.0], 1) is None
    assert runs_needed([1.0, 9.0], [1.0, 9.0], 0.999) is None
