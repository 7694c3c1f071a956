"""The universal scalability law (N. J. Gunther), fitted to throughput over threads.

The throughput of N threads is X(N) = L N / (1 + s (N - 1) + k N (N - 1)), where L is the throughput
of one thread, s the contention coefficient and k the coherency coefficient. The time that a thread
takes per operation, N / X, is linear in 1/L, s/L and k/L.

The noise of a throughput is multiplicative, so the fit minimises the squares of the logarithms of
measured over modelled values. Weights from the measured values would overestimate L, by 6 % if the
noise is 20 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, log, sqrt
from statistics import fmean, geometric_mean

from xengt.statistics.confidence import interval_factor
from xengt.statistics.least_squares import Columns, combine, solve_non_negative, standard_error

_PRECISION = 1e-10
"""The relative precision of the modelled values."""

_MOST_STEPS = 200
"""The largest number of steps. The fit takes about ten, unless the law does not fit at all."""


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A coefficient of the law with its 95 % confidence interval.

    Args:
        value: the coefficient; at least 0.
        low: the lower end of the interval, at least 0; None if the law has as many coefficients as
            points.
        high: the upper end of the interval; None if `low` is None.
    """

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class ScalingLaw:
    """A law that was fitted to measured throughputs.

    Args:
        thread_throughput_per_s: the throughput of one thread, in operations per second.
        contention: the fraction of an operation that is serial. Above 1, two threads have a lower
            throughput than one.
        coherency: the cost of coherency between two threads, as a fraction of an operation of one
            thread; None if the points have only two different numbers of threads, which do not
            determine it. The contention coefficient then includes it.
        relative_residual: the root mean square of the relative differences between measured and
            modelled throughputs.
    """

    thread_throughput_per_s: Coefficient
    contention: Coefficient
    coherency: Coefficient | None
    relative_residual: float

    @property
    def peak_threads(self) -> float | None:
        """The number of threads with the highest modelled throughput; at least 1, not rounded.

        It is None if the coherency coefficient is not determined, or if it is 0 and the throughput
        never falls. Beyond the measured numbers of threads it is an extrapolation.
        """
        if self.coherency is None:
            return None
        gain = 1 - self.contention.value
        if self.coherency.value == 0:
            return 1.0 if gain < 0 else None
        return sqrt(max(gain / self.coherency.value, 1))

    def throughput_per_s(self, threads: float) -> float:
        """Return the modelled throughput of all threads, in operations per second.

        Args:
            threads: number of threads, at least 1; not necessarily whole, as `peak_threads`.

        Raises:
            ValueError: the number of threads is below 1.
        """
        if not threads >= 1:
            raise ValueError(f"threads must be at least 1, not {threads}")
        coherency = self.coherency.value if self.coherency else 0
        _, contention_term, coherency_term = _terms(threads)
        slowdown = 1 + self.contention.value * contention_term + coherency * coherency_term
        return self.thread_throughput_per_s.value * threads / slowdown


def fit_law(points: Sequence[tuple[int, float]]) -> ScalingLaw:
    """Fit the law to measured throughputs.

    Each point counts as an independent measurement: the intervals do not include an effect that
    all points share, such as that of a boot.

    Args:
        points: for each measurement, the number of threads and the throughput of all threads in
            operations per second. A number of threads can occur several times; at least two have
            to differ, and three to determine the coherency coefficient. Without a measurement of
            one thread, its throughput is extrapolated.

    Raises:
        ValueError: a point is out of range, the points have fewer than two different numbers of
            threads, or the extrapolated throughput of one thread is not finite.
    """
    columns = _columns(points)
    times = [threads / throughput for threads, throughput in points]
    coefficients = _fit_times(columns, times)
    if coefficients[0] == 0:
        raise ValueError(
            "points do not determine the throughput of one thread: add points with fewer threads"
        )
    thread_throughput, contention, *coherency = _with_intervals(columns, times, coefficients)
    modelled = combine(columns, coefficients)
    differences = [model / time - 1 for model, time in zip(modelled, times, strict=True)]
    return ScalingLaw(
        thread_throughput,
        contention,
        coherency[0] if coherency else None,
        sqrt(fmean(difference**2 for difference in differences)),
    )


def _terms(threads: float) -> tuple[float, float, float]:
    """Return the factors of 1/L, s/L and k/L in the time per operation."""
    return 1, threads - 1, threads * (threads - 1)


def _columns(points: Sequence[tuple[int, float]]) -> Columns:
    """Check the points, and return the values of each term that they determine."""
    for threads, throughput in points:
        if not (threads >= 1 and threads % 1 == 0):
            raise ValueError(f"points: threads must be a whole number from 1, not {threads}")
        if not (isfinite(throughput) and throughput > 0):
            raise ValueError(f"points: throughput_per_s must be positive, not {throughput}")
    different = len({threads for threads, _ in points})
    if different <= 1:
        raise ValueError(
            f"points must have at least two different numbers of threads, not {different}"
        )
    columns = list(zip(*(_terms(threads) for threads, _ in points), strict=True))
    return columns[:different]


def _fit_times(columns: Columns, times: Sequence[float]) -> list[float]:
    """Return the coefficients of the time per operation, by the Gauss-Newton method.

    Args:
        columns: the values of each term of the law.
        times: the time that a thread takes per operation, for each point.
    """
    coefficients = [geometric_mean(times)] + [0.0] * (len(columns) - 1)
    for _ in range(_MOST_STEPS):
        modelled = combine(columns, coefficients)
        relative = _divide(columns, modelled)
        target = [1 + log(time / model) for time, model in zip(times, modelled, strict=True)]
        step = solve_non_negative(relative, target)
        if max(abs(change - 1) for change in combine(relative, step)) <= _PRECISION:
            coefficients = step
            break
        # Where the law does not fit, a whole step can be too long, although its direction is right.
        # The tolerance is above rounding errors, so the loop ends.
        bound = _squared_logarithms(times, modelled) + _PRECISION
        while _squared_logarithms(times, combine(columns, step)) > bound:
            step = [(old + new) / 2 for old, new in zip(coefficients, step, strict=True)]
        coefficients = step
    # A coefficient that changes no modelled value is a rounding error.
    return [
        coefficient if coefficient * max(column) > _PRECISION else 0.0
        for coefficient, column in zip(coefficients, relative, strict=True)
    ]


def _with_intervals(
    columns: Columns, times: Sequence[float], coefficients: Sequence[float]
) -> list[Coefficient]:
    """Return L, s and k (if it is determined) from 1/L, s/L and k/L."""
    thread_throughput = 1 / coefficients[0]
    values = [thread_throughput, *(value * thread_throughput for value in coefficients[1:])]
    # A coefficient that is 0 counts as well, because the fit could have made it positive.
    freedom = len(times) - len(columns)
    if freedom == 0:
        return [Coefficient(value, None, None) for value in values]
    modelled = combine(columns, coefficients)
    deviation = sqrt(_squared_logarithms(times, modelled) / freedom)
    factor = interval_factor(freedom) * deviation
    relative = _divide(columns, modelled)
    found = []
    for number, value in enumerate(values):
        gradient = [0.0] * len(columns)
        gradient[number] = thread_throughput
        gradient[0] = -value * thread_throughput
        half_width = factor * standard_error(relative, gradient)
        found.append(Coefficient(value, max(0.0, value - half_width), value + half_width))
    return found


def _divide(columns: Columns, divisors: Sequence[float]) -> Columns:
    return [[a / b for a, b in zip(column, divisors, strict=True)] for column in columns]


def _squared_logarithms(times: Sequence[float], modelled: Sequence[float]) -> float:
    """Return the sum of the squared residuals; infinite if a modelled time is not positive."""
    if min(modelled) <= 0:
        return inf
    return sum(log(time / model) ** 2 for time, model in zip(times, modelled, strict=True))
