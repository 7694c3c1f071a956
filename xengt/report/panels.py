"""Division of results into the panels of a chart, and the names of their curves."""

from collections.abc import Sequence

from xengt.bench.case import Case
from xengt.bench.case_text import DIMENSIONS, phrase, varying
from xengt.bench.result import Result


def group_into_panels(
    results: Sequence[Result], *inner_dimensions: str
) -> list[tuple[str, list[Result]]]:
    """Group an engine's results into panels.

    Args:
        results: results of one engine, at least one.
        inner_dimensions: the dimensions that vary within a panel.

    Returns:
        A caption and the results of each panel. The caption has the dimensions in which panels
        differ; that of a single panel has its granter, batch and threads.
    """
    outer = [name for name in DIMENSIONS if name not in ("engine", *inner_dimensions)]
    groups: dict[tuple[object, ...], list[Result]] = {}
    for result in results:
        groups.setdefault(tuple(getattr(result.case, name) for name in outer), []).append(result)
    differing = [name for name in varying(result.case for result in results) if name in outer]
    in_caption = differing or [name for name in ("granter", "batch", "threads") if name in outer]
    return [(phrase(group[0].case, in_caption), group) for group in groups.values()]


def operation_class(case: Case) -> str:
    """Return the CSS class of the colour of a case's operation: `map`, `touch` or `unmap`.

    The two directions of a copy have the colours of a map and an unmap.

    Args:
        case: a measured case.
    """
    if case.operation == "touch":
        return "touch"
    return "map" if case.operation in {"map", "copy from granter"} else "unmap"


def operation_label(case: Case) -> str:
    """Return the name of a case's operation in one word, as the label of a curve.

    That of a copy is its direction: `from` or `to`.

    Args:
        case: a measured case.
    """
    return case.operation.partition(" (")[0].removeprefix("copy ").removesuffix(" granter")
