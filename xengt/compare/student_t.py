"""Quantiles of Student's t distribution, for whole degrees of freedom."""

from functools import cache
from math import atan, cos, pi, sin, sqrt

_PRECISION = 1e-12


@cache
def quantile(probability: float, freedom: int) -> float:
    """Return the value that a t-distributed variable stays below with a probability.

    Args:
        probability: between 0.5 and 1, both excluded.
        freedom: degrees of freedom, at least 1.

    Raises:
        ValueError: an argument is outside its range.
    """
    if not 0.5 < probability < 1 or freedom < 1:  # noqa: PLR2004
        raise ValueError(f"no t quantile of {probability} with {freedom} degrees of freedom")
    low, high = 0.0, 1.0
    while _below(high, freedom) < probability:
        low, high = high, 2 * high
    while high - low > _PRECISION * high:
        middle = (low + high) / 2
        if _below(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return high


def _below(value: float, freedom: int) -> float:
    """Return the probability of a smaller t: the finite series of Abramowitz and Stegun 26.7."""
    angle = atan(value / sqrt(freedom))
    odd = freedom % 2
    term, terms = (cos(angle) if odd else 1.0), 0.0
    for power in range(2 + odd, freedom + 1, 2):
        terms += term
        term *= (power - 1) / power * cos(angle) ** 2
    if odd:
        return 0.5 + (angle + sin(angle) * terms) / pi
    return 0.5 + sin(angle) * terms / 2
