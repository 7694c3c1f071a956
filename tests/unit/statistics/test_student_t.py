"""Quantiles of Student's t without SciPy equal those of SciPy."""

import pytest
from scipy import stats

from xengt.statistics.student_t import quantile


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 8, 21, 38, 399])
@pytest.mark.parametrize("probability", [0.6, 0.8, 0.95, 0.975, 0.999])
def test_quantiles_equal_those_of_scipy(probability: float, freedom: int) -> None:
    assert quantile(probability, freedom) == pytest.approx(
        stats.t.ppf(probability, freedom), rel=1e-9
    )


@pytest.mark.parametrize(("probability", "freedom"), [(0.5, 3), (1, 3), (0.9, 0)])
def test_arguments_out_of_range_are_rejected(probability: float, freedom: int) -> None:
    with pytest.raises(ValueError, match="no t quantile"):
        quantile(probability, freedom)
