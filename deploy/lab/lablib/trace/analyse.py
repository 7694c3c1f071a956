"""Turn the log of executed instructions into counts per grant operation."""

from dataclasses import dataclass
from pathlib import Path

from lablib.errors import LabError
from lablib.trace import capture, cut
from lablib.trace.code import Code
from lablib.trace.count import Operation, operation

ENTRY = "do_grant_table_op"
#: the name of a hypercall by the function of common/grant_table.c that only this hypercall executes
HYPERCALLS = {"gnttab_map_grant_ref": "map", "gnttab_unmap_grant_ref": "unmap"}
#: the loops of a hypercall; an unmap's second loop runs after the TLB flush of the whole batch
PARTS = {"map": ("map",), "unmap": ("unmap, first pass", "unmap, completion")}
#: functions that flush TLBs, of one or more CPUs at once, and IOTLBs, of AMD-Vi and VT-d
TLB_FLUSHES = ("flush_area_mask",)
IOTLB_FLUSHES = ("amd_iommu_flush_pages", "amd_iommu_flush_all_pages", "flush_iotlb_qi")


@dataclass(frozen=True)
class HypercallTrace:
    """The recorded calls of one kind of hypercall, of which the most frequent one is analysed.

    Attributes:
        name: `map` or `unmap`.
        recorded: complete calls in the log.
        identical: calls that consist of the same instructions as the analysed one.
        instructions: instructions of the analysed call.
        once: instructions of the analysed call outside the loops over its operations.
        flush_rounds: how often the analysed call flushes TLBs, each time with one round of
            interrupts if the mapper runs on several CPUs.
        iotlb_flushes: how often it has IOMMUs flush IOTLBs.
        operations: the parts of one operation; with a batch of 1, the whole call.
    """

    name: str
    recorded: int
    identical: int
    instructions: int
    once: int
    flush_rounds: int
    iotlb_flushes: int
    operations: tuple[Operation, ...]


def analyse(code: Code, log: Path, batch: int) -> list[HypercallTrace]:
    """Cut a log into hypercalls and operations and analyse each.

    Args:
        code: the hypervisor's code as it was in memory.
        log: from `capture.record`.
        batch: operations per hypercall.

    Raises:
        LabError: the log has no complete call of a hypercall, or its operations are not found.
    """
    entry = code.start(ENTRY)
    exits = frozenset(
        address
        for address, instruction in code.instructions.items()
        if instruction.returns and code.function(address) == ENTRY
    )
    calls: dict[str, list[tuple[int, ...]]] = {name: [] for name in HYPERCALLS.values()}
    for call in cut.calls(capture.executed(log), entry, exits):
        name = _hypercall(call, code)
        if name is not None:
            calls[name].append(call)
    for name, recorded in calls.items():
        if not recorded:
            raise LabError(
                f"the log has no complete {name} hypercall", "increase --hypercalls and run again"
            )
    return [_analyse(name, recorded, code, batch) for name, recorded in calls.items()]


def _hypercall(call: tuple[int, ...], code: Code) -> str | None:
    for lines in code.source_lines(set(call)).values():
        for line in lines:
            if line.function in HYPERCALLS:
                return HYPERCALLS[line.function]
    return None


def _calls_of(functions: tuple[str, ...], call: tuple[int, ...], code: Code) -> int:
    return sum(call.count(start) for start in code.starts(functions))


def _analyse(name: str, calls: list[tuple[int, ...]], code: Code, batch: int) -> HypercallTrace:
    call = cut.modal(calls)
    recorded, identical = len(calls), calls.count(call)
    flushes = (_calls_of(TLB_FLUSHES, call, code), _calls_of(IOTLB_FLUSHES, call, code))
    if batch == 1:
        whole = operation(f"{name}, whole call", call, code)
        return HypercallTrace(name, recorded, identical, len(call), 0, *flushes, (whole,))
    loops = cut.loops(call, batch)
    if not loops:
        raise LabError(
            f"no instruction of a {name} hypercall is executed once for each of its {batch}"
            " operations",
            "use another --batch",
        )
    names = PARTS[name] if len(loops) == len(PARTS[name]) else ()
    operations = [
        operation(names[at] if names else f"{name}, loop {at + 1}", loop.modal, code)
        for at, loop in enumerate(loops)
    ]
    once = len(call) - sum(loop.instructions for loop in loops)
    return HypercallTrace(name, recorded, identical, len(call), once, *flushes, tuple(operations))
