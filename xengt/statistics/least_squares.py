"""Linear least squares with few unknowns and without NumPy, which dom0 need not have.

The columns are orthogonalised by the modified Gram-Schmidt method, because the normal equations
lose twice as many digits.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import inf, sqrt

Columns = Sequence[Sequence[float]]
"""For each unknown, its factor in every equation."""


def combine(columns: Columns, coefficients: Sequence[float]) -> list[float]:
    """Return the sum of the columns, each multiplied by its coefficient.

    Args:
        columns: at least one column.
        coefficients: one coefficient for each column.
    """
    return [_dot(row, coefficients) for row in zip(*columns, strict=True)]


def solve(columns: Columns, values: Sequence[float]) -> list[float]:
    """Return the coefficients with the least sum of squared residuals.

    Args:
        columns: linearly independent columns.
        values: the right-hand side of every equation.
    """
    units, triangle = _orthogonalise(columns)
    rest = list(values)
    projections = []
    for unit in units:
        projections.append(_dot(unit, rest))
        rest = _subtract(rest, projections[-1], unit)
    coefficients = [0.0] * len(columns)
    for row in reversed(range(len(columns))):
        known = sum(
            triangle[column][row] * coefficients[column] for column in range(row + 1, len(columns))
        )
        coefficients[row] = (projections[row] - known) / triangle[row][row]
    return coefficients


def solve_non_negative(columns: Columns, values: Sequence[float]) -> list[float]:
    """Return the coefficients, all at least 0, with the least sum of squared residuals.

    Args:
        columns: linearly independent columns, few, because every subset of them is tried.
        values: the right-hand side of every equation.
    """
    best, least = [0.0] * len(columns), inf
    for coefficients in _solve_subsets(columns, values):
        residuals = _subtract(values, 1, combine(columns, coefficients))
        squares = _dot(residuals, residuals)
        if min(coefficients) >= 0 and squares < least:
            best, least = coefficients, squares
    return best


def standard_error(columns: Columns, gradient: Sequence[float]) -> float:
    """Return the standard error of a function of the coefficients, by the delta method.

    Args:
        columns: linearly independent columns.
        gradient: the derivative of the function with respect to each coefficient.

    Returns:
        The standard error if the residuals of all equations have a standard deviation of 1.
    """
    _, triangle = _orthogonalise(columns)
    solution: list[float] = []
    for above, slope in zip(triangle, gradient, strict=True):
        known = _dot(above[:-1], solution)
        solution.append((slope - known) / above[-1])
    return sqrt(_dot(solution, solution))


def _solve_subsets(columns: Columns, values: Sequence[float]) -> Iterator[list[float]]:
    """Yield the solution for each non-empty subset of the columns, with 0 for the others."""
    for size in range(1, len(columns) + 1):
        for active in combinations(range(len(columns)), size):
            coefficients = [0.0] * len(columns)
            solution = solve([columns[number] for number in active], values)
            for number, coefficient in zip(active, solution, strict=True):
                coefficients[number] = coefficient
            yield coefficients


def _orthogonalise(columns: Columns) -> tuple[list[list[float]], list[list[float]]]:
    """Return orthonormal columns, and the columns of the triangular matrix without its zeros."""
    units: list[list[float]] = []
    triangle: list[list[float]] = []
    for column in columns:
        rest = list(column)
        factors = []
        for unit in units:
            factors.append(_dot(unit, rest))
            rest = _subtract(rest, factors[-1], unit)
        factors.append(sqrt(_dot(rest, rest)))
        triangle.append(factors)
        units.append([value / factors[-1] for value in rest])
    return units, triangle


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _subtract(one: Sequence[float], factor: float, other: Sequence[float]) -> list[float]:
    return [a - factor * b for a, b in zip(one, other, strict=True)]
