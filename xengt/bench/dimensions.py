"""Which dimensions vary in a set of cases, and how a case is written in words."""

from collections.abc import Iterable, Sequence

from xengt.bench.case import DECLARED, Case, Setup
from xengt.bench.dimension import value_text
from xengt.bench.result import Result

DIMENSIONS = ("engine", "operation", *(name for name in DECLARED if name != "engine"))
"""The keys of a case, in the order of the columns of a report."""
WORDS = ("operation", *(name for name, each in DECLARED.items() if each.has_words))
"""The dimensions whose values are words, which a table aligns to the left."""


def varying(cases: Iterable[Case]) -> tuple[str, ...]:
    """Name the dimensions in which the cases differ, in the order of `Case`.

    Args:
        cases: what was measured.
    """
    known = list(cases)
    return tuple(name for name in DIMENSIONS if len({getattr(case, name) for case in known}) > 1)


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


def kind(case: Case) -> str:
    """Tell which of a picture's colours is a case's: `map` or `unmap`.

    Args:
        case: what was measured.
    """
    return "map" if case.operation == "map" else "unmap"


def short(case: Case) -> str:
    """Name the operation beside a line, where there is room for one word.

    Args:
        case: what was measured.
    """
    return case.operation.partition(" (")[0]


def panels(results: Sequence[Result], *without: str) -> list[tuple[str, list[Result]]]:
    """Sort an engine's results into panels, each with a caption.

    Args:
        results: of one engine, at least one.
        without: the dimensions that vary within a panel.
    """
    inner = ("engine", *without)
    outer = [name for name in DIMENSIONS if name not in inner]
    found: dict[tuple[object, ...], list[Result]] = {}
    for result in results:
        found.setdefault(tuple(getattr(result.case, name) for name in outer), []).append(result)
    differ = [name for name in varying(result.case for result in results) if name in outer]
    # A single panel still says what it shows.
    named = differ or [name for name in ("granter", "batch", "threads") if name in outer]
    return [(phrase(shown[0].case, named), shown) for shown in found.values()]
