"""The output of `lab trace`: a table, an instruction listing, a JSON document."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from lablib.trace.analyse import HypercallTrace
from lablib.trace.code import Code
from lablib.trace.count import Operation, SerialisingPoint, by_line, by_source, by_symbol

BY: dict[str, Callable[[Operation, Code], Counter[str]]] = {
    "symbol": by_symbol,
    "source": by_source,
    "line": by_line,
}
#: source lines of a call chain in the table
CHAIN = 3
#: files that implement locks: the table names their callers instead
LOCK_FILES = ("common/spinlock.c", "common/rwlock.c")


def _parts(traces: Sequence[HypercallTrace]) -> list[Operation]:
    return [operation for trace in traces for operation in trace.operations]


def table(traces: Sequence[HypercallTrace], code: Code, batch: int, by: str) -> str:
    """Return the table of instruction counts, and the list of atomic accesses and fences.

    Args:
        traces: from `analyse.analyse`.
        code: the hypervisor's code.
        batch: operations per hypercall.
        by: a key of BY.
    """
    return "\n".join(
        [
            *_summaries(traces, batch),
            "",
            *_counts(traces, code, by),
            "",
            *_serialising(_parts(traces)),
        ]
    )


def _summaries(traces: Sequence[HypercallTrace], batch: int) -> Iterator[str]:
    for trace in traces:
        yield (
            f"{trace.name}: {trace.recorded} hypercalls recorded, {trace.identical} of them"
            f" identical: {trace.instructions:,} instructions,"
            f" {trace.instructions / batch:,.1f} per operation"
            + (f"; {trace.once} of them once per hypercall" if batch > 1 else "")
            + f"; TLBs flushed {trace.flush_rounds} times, IOTLBs {trace.iotlb_flushes} times"
        )


def _counts(traces: Sequence[HypercallTrace], code: Code, by: str) -> Iterator[str]:
    parts = _parts(traces)
    columns = [BY[by](part, code) for part in parts]
    total = sum(columns, Counter[str]())
    width = max([*map(len, total), len("domain-wide locks")]) + 2

    def row(name: str, values: Sequence[int], zero: str = "") -> str:
        cells = "".join(
            f"{value or zero:>{len(part.name) + 2}}"
            for value, part in zip(values, parts, strict=True)
        )
        return f"{name:{width}}{cells}{sum(values) or zero:>8}".rstrip()

    yield f"{by:{width}}" + "".join(f"  {part.name}" for part in parts) + f"{'sum':>8}"
    for name, _ in total.most_common():
        yield row(name, [column[name] for column in columns])
    yield row("total", [len(part.steps) for part in parts])
    yield ""
    for kind in sorted({point.kind for part in parts for point in part.points}):
        yield row(kind, [part.kinds()[kind] for part in parts])
    yield row("locks acquired", [len(part.locks()) for part in parts], "0")
    domain_wide = [sum(lock.domain_wide for lock in part.locks()) for part in parts]
    yield row("domain-wide locks", domain_wide, "0")


def _serialising(parts: Sequence[Operation]) -> Iterator[str]:
    for part in parts:
        yield f"{part.name}: atomic accesses and fences, by index of the instruction"
        for point in part.points:
            yield f"{point.index:6} {point.kind:7} {_lock(point)}{_source(point)}"


def _lock(point: SerialisingPoint) -> str:
    if point.lock is None:
        return ""
    return f"acquires {point.lock}{' (domain-wide)' if point.domain_wide else ''}: "


def _source(point: SerialisingPoint) -> str:
    """Return the inlined function and the lines of Xen's .c files, innermost first."""
    files = [
        at
        for at, line in enumerate(point.source_lines)
        if line.file.endswith(".c") and line.file not in LOCK_FILES
    ]
    if not files:
        return " < ".join(map(str, point.source_lines[:CHAIN]))
    first = files[0]
    inlined = f"{point.source_lines[first - 1].function} in " if first else ""
    return inlined + " < ".join(str(point.source_lines[at]) for at in files[:CHAIN])


def listing(traces: Sequence[HypercallTrace], code: Code) -> str:
    """Return every instruction of each operation, with its source line where that changes."""
    lines: list[str] = []
    for part in _parts(traces):
        lines += ["", f"{part.name}: {len(part.steps)} instructions"]
        previous = None
        for index, step in enumerate(part.steps):
            address = step.instruction.address
            source = " < ".join(str(line) for line in code.source_lines([address])[address])
            text = step.instruction.text.partition("#")[0].strip()
            suffix = "" if source == previous else f"  {source}"
            previous = source
            lines.append(f"{index:5} {'  ' * len(step.callers)}{address:x} {text:52}{suffix}")
    return "\n".join(lines)


def document(
    traces: Sequence[HypercallTrace], code: Code, load: Mapping[str, object]
) -> dict[str, object]:
    """Return the JSON document, schema `xengt.trace/1`.

    Args:
        traces: from `analyse.analyse`.
        code: the hypervisor's code.
        load: what the mapper did, by option: `batch`, `mapper`, `granter`, `mappings`, `engine`;
            a guest that maps has no engine.
    """
    return {
        "schema": "xengt.trace/1",
        **load,
        "hypercalls": [
            {
                "operation": trace.name,
                "seen": trace.recorded,
                "the_same": trace.identical,
                "instructions": trace.instructions,
                "once": trace.once,
                "flush_rounds": trace.flush_rounds,
                "iotlb_flushes": trace.iotlb_flushes,
                "parts": [_part(part, code) for part in trace.operations],
            }
            for trace in traces
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
                "domain_wide": point.domain_wide,
                "where": [str(line) for line in point.source_lines],
            }
            for point in part.points
        ],
    }
