"""What `lab trace` prints: a table, a listing, a document."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from lablib.trace.analyse import Traced
from lablib.trace.code import Code
from lablib.trace.count import Operation, Point, by_line, by_source, by_symbol

BY: dict[str, Callable[[Operation, Code], Counter[str]]] = {
    "symbol": by_symbol,
    "source": by_source,
    "line": by_line,
}
#: frames of a source position that a table has room for
FRAMES = 3
#: whose lines say as little as a header's: who takes a lock is of interest, not how
LOCKS = ("common/spinlock.c", "common/rwlock.c")


def _parts(traced: Sequence[Traced]) -> list[Operation]:
    return [operation for each in traced for operation in each.operations]


def table(traced: Sequence[Traced], code: Code, batch: int, by: str) -> str:
    """Return what a person reads.

    Args:
        traced: from `analyse.analyse`.
        code: the hypervisor's.
        batch: operations a hypercall.
        by: a key of BY.
    """
    return "\n".join(
        [
            *_heads(traced, batch),
            "",
            *_counts(traced, code, by),
            "",
            *_serialising(_parts(traced)),
        ]
    )


def _heads(traced: Sequence[Traced], batch: int) -> Iterator[str]:
    for each in traced:
        yield (
            f"{each.kind}: {each.seen} hypercalls seen, {each.modal} of them the same:"
            f" {each.instructions:,} instructions, {each.instructions / batch:,.1f} an operation"
            + (f"; {each.once} of them once a hypercall" if batch > 1 else "")
        )


def _counts(traced: Sequence[Traced], code: Code, by: str) -> Iterator[str]:
    parts = _parts(traced)
    columns = [BY[by](part, code) for part in parts]
    total = sum(columns, Counter[str]())
    width = max([*map(len, total), len("locks taken")]) + 2

    def row(name: str, values: Sequence[int], nothing: str = "") -> str:
        cells = "".join(
            f"{value or nothing:>{len(part.name) + 2}}"
            for value, part in zip(values, parts, strict=True)
        )
        return f"{name:{width}}{cells}{sum(values) or nothing:>8}".rstrip()

    yield f"{by:{width}}" + "".join(f"  {part.name}" for part in parts) + f"{'sum':>8}"
    for name, _ in total.most_common():
        yield row(name, [column[name] for column in columns])
    yield row("all", [len(part.steps) for part in parts])
    yield ""
    for kind in sorted({point.kind for part in parts for point in part.points}):
        yield row(kind, [part.kinds()[kind] for part in parts])
    yield row("locks taken", [len(part.locks()) for part in parts], "0")
    yield row("domain-wide", [sum(lock.wide for lock in part.locks()) for part in parts], "0")


def _serialising(parts: Sequence[Operation]) -> Iterator[str]:
    for part in parts:
        yield f"{part.name}: where the CPU has to wait"
        for point in part.points:
            yield f"{point.index:6} {point.kind:7} {_what(point)}{_where(point)}"


def _what(point: Point) -> str:
    if point.lock is None:
        return ""
    return f"takes {point.lock}{' (domain-wide)' if point.wide else ''}: "


def _where(point: Point) -> str:
    """Name what was inlined, then the lines of Xen's own .c files, from the inside out."""
    files = [
        at
        for at, place in enumerate(point.where)
        if place.file.endswith(".c") and place.file not in LOCKS
    ]
    if not files:
        return " < ".join(map(str, point.where[:FRAMES]))
    first = files[0]
    inlined = f"{point.where[first - 1].function} in " if first else ""
    return inlined + " < ".join(str(point.where[at]) for at in files[:FRAMES])


def listing(traced: Sequence[Traced], code: Code) -> str:
    """Return every instruction of each operation, with the source line where it changes."""
    lines: list[str] = []
    for part in _parts(traced):
        lines += ["", f"{part.name}: {len(part.steps)} instructions"]
        last = None
        for index, each in enumerate(part.steps):
            address = each.instruction.address
            places = code.places([address])[address]
            where = " < ".join(str(place) for place in places)
            text = each.instruction.text.partition("#")[0].strip()
            shown = "" if where == last else f"  {where}"
            last = where
            lines.append(f"{index:5} {'  ' * len(each.callers)}{address:x} {text:52}{shown}")
    return "\n".join(lines)


def document(
    traced: Sequence[Traced], code: Code, batch: int, granter: str, mappings: int
) -> dict[str, object]:
    """Return what a program reads, schema `xengt.trace/1`.

    Args:
        traced: from `analyse.analyse`.
        code: the hypervisor's.
        batch: operations a hypercall.
        granter: whose pages.
        mappings: of each reference at once.
    """
    return {
        "schema": "xengt.trace/1",
        "batch": batch,
        "granter": granter,
        "mappings": mappings,
        "hypercalls": [
            {
                "operation": each.kind,
                "seen": each.seen,
                "the_same": each.modal,
                "instructions": each.instructions,
                "once": each.once,
                "parts": [_part(part, code) for part in each.operations],
            }
            for each in traced
        ],
    }


def _part(part: Operation, code: Code) -> dict[str, object]:
    return {
        "name": part.name,
        "instructions": len(part.steps),
        "serialising": dict(part.kinds()),
        "by_symbol": dict(by_symbol(part, code).most_common()),
        "by_source": dict(by_source(part, code).most_common()),
        "points": [
            {
                "index": point.index,
                "kind": point.kind,
                "instruction": point.text,
                "lock": point.lock,
                "domain_wide": point.wide,
                "where": [str(place) for place in point.where],
            }
            for point in part.points
        ],
    }
