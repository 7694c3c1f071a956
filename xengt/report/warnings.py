"""The warnings of many results in few lines."""

import re
from collections.abc import Sequence
from itertools import pairwise

from xengt.bench.result import Result

# A number that stands alone: not the 99.9 of "p99.9".
_NUMBER = re.compile(r"(?<!\S)\d[\d,]*(?=\s)")


def warnings(results: Sequence[Result]) -> list[str]:
    """Write each kind of warning once, with the rows it holds for.

    Sentences that differ only in their first number are of one kind:
    `rows 1-3, 7: the standard deviation is 12 to 40 % of the mean: ...`.

    Args:
        results: of a document; rows count from 1 in their order.
    """
    kinds: dict[str, dict[int, int]] = {}
    for row, result in enumerate(results, 1):
        for text in result.warnings:
            found = _NUMBER.search(text)
            number = int(found[0].replace(",", "")) if found else 0
            kinds.setdefault(_NUMBER.sub("{}", text, count=1), {})[row] = number
    return [
        f"row{'s' * (len(rows) > 1)} {_ranges(list(rows))}: {text.replace('{}', _span(rows), 1)}"
        for text, rows in kinds.items()
    ]


def _span(rows: dict[int, int]) -> str:
    low, high = min(rows.values()), max(rows.values())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _ranges(rows: Sequence[int]) -> str:
    breaks = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(rows)) if b != a + 1), len(rows)]
    runs = [rows[start:end] for start, end in pairwise(breaks)]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
