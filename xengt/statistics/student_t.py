"""Quantiles of Student's t distribution with an integer number of degrees of freedom."""

from functools import cache
from math import atan, cos, pi, sin, sqrt

_RELATIVE_PRECISION = 1e-12


@cache
def quantile(probability: float, freedom: int) -> float:
    """Return the quantile of Student's t distribution.

    Args:
        probability: the probability of a smaller value; above 0.5 and below 1.
        freedom: the degrees of freedom, at least 1.

    Raises:
        ValueError: an argument is out of range.
    """
    if not 0.5 < probability < 1 or freedom < 1:  # noqa: PLR2004
        raise ValueError(f"no t quantile for {probability} and {freedom} degrees of freedom")
    low, high = 0.0, 1.0
    while _cdf(high, freedom) < probability:
        low, high = high, 2 * high
    while high - low > _RELATIVE_PRECISION * high:
        middle = (low + high) / 2
        if _cdf(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return high


def _cdf(value: float, freedom: int) -> float:
    """Return the distribution function by the finite series 26.7.3-4 of Abramowitz and Stegun."""
    angle = atan(value / sqrt(freedom))
    odd = freedom % 2
    term, terms = (cos(angle) if odd else 1.0), 0.0
    for power in range(2 + odd, freedom + 1, 2):
        terms += term
        term *= (power - 1) / power * cos(angle) ** 2
    if odd:
        return 0.5 + (angle + sin(angle) * terms) / pi
    return 0.5 + sin(angle) * terms / 2
