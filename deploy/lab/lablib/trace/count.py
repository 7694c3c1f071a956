"""What an operation consists of: functions, atomic accesses, fences, and the locks it takes."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from lablib.trace.code import Code, Instruction, Place

#: in one of these, an atomic access is the taking of a lock (common/spinlock.c, rwlock.h)
ACQUIRING = frozenset(
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
#: and these stand between it and whoever knows which lock it is
WRAPPING = frozenset(
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
#: who takes a lock of common/grant_table.c: its name, and whether a domain has only one, or one
#: a vCPU, of it: not one an entry
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
    """One executed instruction and the calls that led to it, outermost first.

    Attributes:
        instruction: what ran.
        callers: addresses of the call instructions, within the sequence.
    """

    instruction: Instruction
    callers: tuple[int, ...]


@dataclass(frozen=True)
class Point:
    """An instruction the CPU cannot run ahead of, or a lock's taking.

    Attributes:
        index: in the operation, from 0.
        kind: `locked`, or the fence's name.
        text: the instruction.
        where: its source, inlined functions and then callers, innermost first.
        lock: the lock it takes, if it takes one.
        wide: whether that lock is a domain's, not an entry's; of unknown locks it is assumed.
    """

    index: int
    kind: str
    text: str
    where: tuple[Place, ...]
    lock: str | None
    wide: bool


@dataclass(frozen=True)
class Operation:
    """What one operation executes.

    Attributes:
        name: which operation, or which part of it.
        steps: its instructions, in order.
        points: those of them that serialise.
    """

    name: str
    steps: tuple[Step, ...]
    points: tuple[Point, ...]

    @property
    def addresses(self) -> list[int]:
        """Return where each instruction is."""
        return [step.instruction.address for step in self.steps]

    def kinds(self) -> Counter[str]:
        """Return how many atomic accesses and fences of each kind it has."""
        return Counter(point.kind for point in self.points)

    def locks(self) -> list[Point]:
        """Return the points where it takes a lock."""
        return [point for point in self.points if point.lock is not None]


def operation(name: str, sequence: Sequence[int], code: Code) -> Operation:
    """Work out what a sequence of addresses does."""
    made = tuple(steps(sequence, code))
    code.places({address for step in made for address in _stack(step)})
    return Operation(name, made, tuple(_points(made, code)))


def steps(sequence: Iterable[int], code: Code) -> Iterator[Step]:
    """Follow calls and returns through a sequence of addresses."""
    stack: list[int] = []
    jumped = False
    for address in sequence:
        instruction = code.instructions.get(address) or Instruction(address, "(unknown)")
        yield Step(instruction, tuple(stack))
        if instruction.calls:
            stack.append(address)
        elif instruction.returns and not jumped and stack:
            stack.pop()
        # The return thunk is a jump to a ret: one return.
        jumped = instruction.returns and instruction.text.startswith("jmp")


def _points(made: Iterable[Step], code: Code) -> Iterator[Point]:
    for index, step in enumerate(made):
        kind = "locked" if step.instruction.locked else step.instruction.fence
        if kind is not None:
            where = chain(step, code)
            lock, wide = _lock(where) if kind == "locked" else (None, False)
            yield Point(index, kind, step.instruction.text, where, lock, wide)


def _lock(where: Sequence[Place]) -> tuple[str | None, bool]:
    names = [place.function for place in where]
    taken = [at for at, name in enumerate(names) if name in ACQUIRING]
    if not taken:
        return None, False
    for name in names[taken[0] :]:
        if name not in ACQUIRING and name not in WRAPPING:
            return LOCKS.get(name, (name, True))
    return "(unknown)", True


def chain(step: Step, code: Code) -> tuple[Place, ...]:
    """Where a step stands in the source: inlined functions, then callers, innermost first."""
    addresses = _stack(step)
    places = code.places(addresses)
    return tuple(place for address in addresses for place in places[address])


def _stack(step: Step) -> list[int]:
    return [step.instruction.address, *reversed(step.callers)]


def by_symbol(operation: Operation, code: Code) -> Counter[str]:
    """Instructions by function; inlined code counts for the function it became part of."""
    return Counter(code.function(address) for address in operation.addresses)


def by_source(operation: Operation, code: Code) -> Counter[str]:
    """Instructions by function of the source, inlined or not."""
    return _by(operation, code, lambda place: place.function)


def by_line(operation: Operation, code: Code) -> Counter[str]:
    """Instructions by line of the source."""
    return _by(operation, code, str)


def _by(operation: Operation, code: Code, name: Callable[[Place], str]) -> Counter[str]:
    places = code.places(operation.addresses)
    return Counter(
        name(places[address][0]) if places[address] else "(unknown)"
        for address in operation.addresses
    )
