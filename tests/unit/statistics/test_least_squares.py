"""Least squares without NumPy equal those of SciPy."""

from random import Random

import numpy as np
import pytest
from scipy import optimize

from xengt.statistics.least_squares import solve, solve_non_negative, standard_error


def random_columns(seed: int) -> tuple[list[list[float]], list[float]]:
    random = Random(seed)  # noqa: S311 (samples, not secrets)
    columns = [[random.uniform(-1, 3) for _ in range(8)] for _ in range(3)]
    return columns, [random.uniform(-2, 2) for _ in range(8)]


@pytest.mark.parametrize("seed", range(20))
def test_the_solution_equals_that_of_scipy(seed: int) -> None:
    columns, values = random_columns(seed)
    expected, *_ = np.linalg.lstsq(np.transpose(columns), values)
    assert solve(columns, values) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(20))
def test_the_non_negative_solution_equals_that_of_scipy(seed: int) -> None:
    columns, values = random_columns(seed)
    expected, _ = optimize.nnls(np.transpose(columns), values)
    assert solve_non_negative(columns, values) == pytest.approx(expected)


def test_every_number_of_coefficients_can_be_zero() -> None:
    """Among the seeds above are solutions with each number of positive coefficients."""
    solutions = [solve_non_negative(*random_columns(seed)) for seed in range(20)]
    assert {solution.count(0) for solution in solutions} == {0, 1, 2, 3}


def test_nearly_dependent_columns_lose_few_digits() -> None:
    columns = [[1.0] * 4, [1000.0, 1001, 1002, 1003], [1000.0**2, 1001**2, 1002**2, 1003**2]]
    values = [sum(row) for row in zip(*columns, strict=True)]
    # The normal equations, or the classical Gram-Schmidt method, lose 12 digits and more.
    assert solve(columns, values) == pytest.approx([1, 1, 1], rel=1e-8)


def test_the_standard_error_equals_that_of_the_covariance_matrix() -> None:
    columns, _ = random_columns(1)
    gradient = [0.5, -2, 1]
    covariance = np.linalg.inv(np.array(columns) @ np.transpose(columns))
    expected = (np.array(gradient) @ covariance @ gradient) ** 0.5
    assert standard_error(columns, gradient) == pytest.approx(expected)
