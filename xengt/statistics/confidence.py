"""The confidence level of all intervals that xengt reports."""

from xengt.statistics.student_t import quantile

CONFIDENCE = 0.95


def interval_factor(freedom: int) -> float:
    """Return how many standard errors a two-sided interval extends to each side.

    Args:
        freedom: the degrees of freedom of the standard error, at least 1.
    """
    return quantile((1 + CONFIDENCE) / 2, freedom)
