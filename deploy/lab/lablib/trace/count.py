"""Count an operation's instructions by function, its atomic accesses, fences and locks."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from lablib.trace.code import Code, Instruction, SourceLine

#: functions whose atomic access acquires a lock (common/spinlock.c, xen/rwlock.h)
LOCK_FUNCTIONS = frozenset(
    {
        "spin_lock_common",
        "_spin_trylock",
        "rspin_lock",
        "rspin_trylock",
        "_read_lock",
        "_read_trylock",
        "_write_lock",
        "_write_trylock",
        "_percpu_read_lock",
        "_percpu_write_lock",
    }
)
#: their wrappers: the caller of a wrapper determines which lock it is
LOCK_WRAPPERS = frozenset(
    {
        "_spin_lock",
        "spin_lock",
        "_spin_lock_irq",
        "spin_lock_irq",
        "__spin_lock_irqsave",
        "_spin_lock_irqsave",
        "nrspin_lock",
        "rspin_lock_irqsave",
        "read_lock",
        "write_lock",
    }
)
#: by the function of common/grant_table.c that acquires it: the name of a lock, and whether it is
#: called domain-wide here: one of a whole table or of a vCPU, not one of each active entry
LOCKS = {
    "grant_read_lock": ("grant table, read", True),
    "grant_write_lock": ("grant table, write", True),
    "active_entry_acquire": ("entry", False),
    "get_maptrack_handle": ("maptrack free list", True),
    "_get_maptrack_handle": ("maptrack free list", True),
    "put_maptrack_handle": ("maptrack free list", True),
    "steal_maptrack_handle": ("maptrack free list", True),
}


@dataclass(frozen=True)
class Step:
    """One executed instruction with its call stack.

    Attributes:
        instruction: the executed instruction.
        callers: addresses of the call instructions within the sequence, outermost first.
    """

    instruction: Instruction
    callers: tuple[int, ...]


@dataclass(frozen=True)
class SerialisingPoint:
    """An atomic access or a fence of an operation.

    Attributes:
        index: its index in the operation, from 0.
        kind: `locked`, or the mnemonic of the fence.
        text: the disassembly of the instruction.
        source_lines: of inlined functions and then of callers, innermost first.
        lock: the name of the lock that it acquires, if any.
        domain_wide: whether that lock is domain-wide; an unknown lock is assumed to be.
    """

    index: int
    kind: str
    text: str
    source_lines: tuple[SourceLine, ...]
    lock: str | None
    domain_wide: bool


@dataclass(frozen=True)
class Operation:
    """The instructions of one operation, or of one part of it.

    Attributes:
        name: the operation, or its part.
        steps: its instructions, in order.
        points: its atomic accesses and fences.
    """

    name: str
    steps: tuple[Step, ...]
    points: tuple[SerialisingPoint, ...]

    @property
    def addresses(self) -> list[int]:
        """Return the address of each instruction."""
        return [step.instruction.address for step in self.steps]

    def kinds(self) -> Counter[str]:
        """Return the number of atomic accesses and fences by kind."""
        return Counter(point.kind for point in self.points)

    def locks(self) -> list[SerialisingPoint]:
        """Return the points that acquire a lock."""
        return [point for point in self.points if point.lock is not None]


def operation(name: str, sequence: Sequence[int], code: Code) -> Operation:
    """Return the operation that consists of a sequence of instructions.

    Args:
        name: the name of the operation.
        sequence: the addresses of its instructions, in order.
        code: the hypervisor's code.
    """
    executed = tuple(steps(sequence, code))
    # One run of addr2line for all addresses.
    code.source_lines({address for step in executed for address in _stack(step)})
    return Operation(name, executed, tuple(_points(executed, code)))


def steps(sequence: Iterable[int], code: Code) -> Iterator[Step]:
    """Yield each instruction of a sequence of addresses with its call stack."""
    stack: list[int] = []
    jumped = False
    for address in sequence:
        instruction = code.instructions.get(address) or Instruction(address, "(unknown)")
        yield Step(instruction, tuple(stack))
        if instruction.calls:
            stack.append(address)
        elif instruction.returns and not jumped and stack:
            stack.pop()
        # A jump to the return thunk and the thunk's ret are one return.
        jumped = instruction.returns and instruction.text.startswith("jmp")


def _points(executed: Iterable[Step], code: Code) -> Iterator[SerialisingPoint]:
    for index, step in enumerate(executed):
        kind = "locked" if step.instruction.locked else step.instruction.fence
        if kind is not None:
            lines = chain(step, code)
            lock, domain_wide = _lock(lines) if kind == "locked" else (None, False)
            yield SerialisingPoint(index, kind, step.instruction.text, lines, lock, domain_wide)


def _lock(lines: Sequence[SourceLine]) -> tuple[str | None, bool]:
    """Return the name of the lock that is acquired at a call chain, and whether it is domain-wide.

    The name is that of `LOCKS`; otherwise that of the function which acquires it.
    """
    functions = [line.function for line in lines]
    acquiring = [at for at, name in enumerate(functions) if name in LOCK_FUNCTIONS]
    if not acquiring:
        return None, False
    for name in functions[acquiring[0] :]:
        if name not in LOCK_FUNCTIONS and name not in LOCK_WRAPPERS:
            return LOCKS.get(name, (name, True))
    return "(unknown)", True


def chain(step: Step, code: Code) -> tuple[SourceLine, ...]:
    """Return a step's source lines: inlined functions, then callers, innermost first."""
    addresses = _stack(step)
    lines = code.source_lines(addresses)
    return tuple(line for address in addresses for line in lines[address])


def _stack(step: Step) -> list[int]:
    return [step.instruction.address, *reversed(step.callers)]


def by_symbol(operation: Operation, code: Code) -> Counter[str]:
    """Return the instructions by symbol; inlined code counts for its caller."""
    return Counter(code.function(address) for address in operation.addresses)


def by_source(operation: Operation, code: Code) -> Counter[str]:
    """Return the instructions by function of the source, inlined or not."""
    return _by(operation, code, lambda line: line.function)


def by_line(operation: Operation, code: Code) -> Counter[str]:
    """Return the instructions by line of the source."""
    return _by(operation, code, str)


def _by(operation: Operation, code: Code, name: Callable[[SourceLine], str]) -> Counter[str]:
    lines = code.source_lines(operation.addresses)
    return Counter(
        name(lines[address][0]) if lines[address] else "(unknown)"
        for address in operation.addresses
    )
