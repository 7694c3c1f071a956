"""The warnings of many results in few lines."""

from collections.abc import Sequence
from itertools import pairwise

from xengt.bench.result import Result
from xengt.bench.warning import WarningKind, describe


def warning_lines(results: Sequence[Result]) -> list[str]:
    """Write each kind of warning once, with the rows it concerns and the range of its values.

    An example: `rows 1-3, 7: the standard deviation is 12 to 40 % of the mean: …`.

    Args:
        results: the results of a document; rows count from 1 in their order.
    """
    values: dict[tuple[WarningKind, str], dict[int, float]] = {}
    for row, result in enumerate(results, 1):
        for warning in result.warnings:
            values.setdefault((warning.kind, warning.text), {})[row] = warning.value
    return [
        f"{_rows(list(by_row))}: "
        + (text or describe(kind, min(by_row.values()), max(by_row.values())))
        for (kind, text), by_row in values.items()
    ]


def _rows(rows: Sequence[int]) -> str:
    breaks = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(rows)) if b != a + 1), len(rows)]
    runs = [rows[start:end] for start, end in pairwise(breaks)]
    ranges = ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
    return f"row{'s' * (len(rows) > 1)} {ranges}"
