"""From the log of what the hypervisor executed to what each grant operation consists of."""

from dataclasses import dataclass
from pathlib import Path

from lablib.errors import LabError
from lablib.trace import capture, cut
from lablib.trace.code import Code
from lablib.trace.count import Operation, operation

ENTRY = "do_grant_table_op"
#: what a hypercall's trace passes through, and what its operation is called here
KINDS = {"gnttab_map_grant_ref": "map", "gnttab_unmap_grant_ref": "unmap"}
#: an unmap's loops: the second one runs after the TLBs were flushed, once for a whole batch
PARTS = {"map": ("map",), "unmap": ("unmap, first pass", "unmap, completion")}


@dataclass(frozen=True)
class Traced:
    """What was seen of one kind of hypercall.

    Attributes:
        kind: `map` or `unmap`.
        seen: whole calls in the trace.
        modal: how many of them were the same, instruction by instruction, as the one counted here.
        instructions: of that call.
        once: of these, those outside the loops over its operations.
        operations: what one operation executes, part by part; without a batch the whole call.
    """

    kind: str
    seen: int
    modal: int
    instructions: int
    once: int
    operations: tuple[Operation, ...]


def analyse(code: Code, log: Path, batch: int) -> list[Traced]:
    """Cut a trace into operations and count what each executes.

    Args:
        code: of the hypervisor, as it was in memory.
        log: from `capture.record`.
        batch: operations a hypercall.

    Raises:
        LabError: no whole hypercall of a kind is in it, or its operations are not found.
    """
    entry = code.start(ENTRY)
    exits = frozenset(
        address
        for address, instruction in code.instructions.items()
        if instruction.returns and code.function(address) == ENTRY
    )
    found: dict[str, list[tuple[int, ...]]] = {kind: [] for kind in KINDS.values()}
    for call in cut.calls(capture.executed(log), entry, exits):
        kind = _kind(call, code)
        if kind is not None:
            found[kind].append(call)
    for kind, calls in found.items():
        if not calls:
            raise LabError(f"no whole {kind} hypercall was recorded", "give --hypercalls more")
    return [_traced(kind, calls, code, batch) for kind, calls in found.items()]


def _kind(call: tuple[int, ...], code: Code) -> str | None:
    for where in code.places(set(call)).values():
        for place in where:
            if place.function in KINDS:
                return KINDS[place.function]
    return None


def _traced(kind: str, calls: list[tuple[int, ...]], code: Code, batch: int) -> Traced:
    call = cut.modal(calls)
    seen, times = len(calls), calls.count(call)
    if batch == 1:
        whole = operation(f"{kind}, whole call", call, code)
        return Traced(kind, seen, times, len(call), 0, (whole,))
    loops = cut.loops(call, batch)
    if not loops:
        raise LabError(f"nothing in a {kind} hypercall runs once for each of {batch} operations")
    names = PARTS[kind] if len(loops) == len(PARTS[kind]) else ()
    operations = [
        operation(names[at] if names else f"{kind}, loop {at + 1}", loop.modal, code)
        for at, loop in enumerate(loops)
    ]
    once = len(call) - sum(loop.instructions for loop in loops)
    return Traced(kind, seen, times, len(call), once, tuple(operations))
