"""Which dimensions vary in a set of cases, and how a case is written in words."""

from collections.abc import Iterable

from xengt.bench.case import DECLARED, Setup
from xengt.bench.dimension import value_text

DIMENSIONS = ("engine", "operation", *(name for name in DECLARED if name != "engine"))
"""The keys of a case, in the order of the columns of a report."""
WORDS = ("operation", *(name for name, each in DECLARED.items() if each.has_words))
"""The dimensions whose values are words, which a table aligns to the left."""


def varying(cases: Iterable[Setup], names: Iterable[str] = DIMENSIONS) -> tuple[str, ...]:
    """Name the dimensions in which cases or setups differ.

    Args:
        cases: what was measured.
        names: the dimensions to look at, in the order of the result. Setups have no operation.
    """
    known = list(cases)
    return tuple(name for name in names if len({getattr(case, name) for case in known}) > 1)


def word(case: Setup, name: str) -> str:
    """Write the value of one dimension of a case.

    Args:
        case: a case or a setup.
        name: one of its dimensions.
    """
    return value_text(getattr(case, name))


def phrase(case: Setup, names: Iterable[str]) -> str:
    """Write several dimensions of a case: `hypercall · batch 32 · threads 2`.

    Args:
        case: what was measured.
        names: dimensions; `engine` and `operation` are written without their names.
    """
    return " · ".join(
        word(case, name) if name in ("engine", "operation") else f"{name} {word(case, name)}"
        for name in names
    )


def constants(cases: Iterable[Setup], names: Iterable[str] = DIMENSIONS) -> str:
    """Write what all the cases or setups share.

    Args:
        cases: what was measured, at least one.
        names: the dimensions to write.
    """
    known, every = list(cases), list(names)
    differ = varying(known, every)
    return phrase(known[0], [name for name in every if name not in differ])
