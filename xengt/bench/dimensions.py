"""Which dimensions of a set of cases vary, and what each is called."""

from collections.abc import Iterable, Sequence
from dataclasses import fields

from xengt.bench.result import Case, Result

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
