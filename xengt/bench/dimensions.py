"""Which dimensions of a set of cases vary, and what each is called."""

from collections.abc import Iterable
from dataclasses import fields

from xengt.bench.result import Case

DIMENSIONS = tuple(field.name for field in fields(Case))
WORDS = ("engine", "operation", "granter")
"""The dimensions whose values are words; the others are numbers."""


def varying(cases: Iterable[Case]) -> tuple[str, ...]:
    """Name the dimensions in which the cases differ, in the order of `Case`.

    Args:
        cases: what was measured.
    """
    known = list(cases)
    return tuple(name for name in DIMENSIONS if len({getattr(case, name) for case in known}) > 1)


def word(case: Case, name: str) -> str:
    """Write one dimension of a case.

    Args:
        case: what was measured.
        name: a dimension: a field of `Case`.
    """
    return worded(getattr(case, name))


def worded(value: object) -> str:
    """Write one value of a dimension.

    Args:
        value: as a case or a plan holds it.
    """
    if value is None:
        return "unlimited"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else f"{value:,g}"


def phrase(case: Case, names: Iterable[str]) -> str:
    """Write several dimensions of a case: `hypercall · batch 32 · threads 2`.

    Args:
        case: what was measured.
        names: dimensions. Those that are words stand for themselves.
    """
    return " · ".join(
        word(case, name) if name in ("engine", "operation") else f"{name} {word(case, name)}"
        for name in names
    )


def constants(cases: Iterable[Case]) -> str:
    """Write what all the cases share.

    Args:
        cases: what was measured, at least one.
    """
    known = list(cases)
    differ = varying(known)
    return phrase(known[0], [name for name in DIMENSIONS if name not in differ])
