"""Cut a sequence of executed instructions into hypercalls, and hypercalls into operations."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise


def calls(addresses: Iterable[int], entry: int, exits: frozenset[int]) -> Iterator[tuple[int, ...]]:
    """Yield the addresses of each complete call of a function, from its entry to its return.

    Args:
        addresses: all executed instructions, in order.
        entry: address of the function.
        exits: addresses of the function's own return instructions.
    """
    current: list[int] | None = None
    for address in addresses:
        if address == entry:
            current = []
        if current is not None:
            current.append(address)
            if address in exits:
                yield tuple(current)
                current = None


@dataclass(frozen=True)
class Loop:
    """A loop that runs one round per operation of a hypercall.

    Attributes:
        rounds: the instruction addresses of each round. The end of the last round is unknown: it
            gets the length of the round before it.
        end: index in the call just after the last round.
    """

    rounds: tuple[tuple[int, ...], ...]
    end: int

    @property
    def modal(self) -> tuple[int, ...]:
        """Return the most frequent round; the first of several."""
        return modal(self.rounds[:-1])

    @property
    def instructions(self) -> int:
        """Return the number of instructions of all rounds."""
        return sum(map(len, self.rounds))


def loops(call: Sequence[int], batch: int) -> list[Loop]:
    """Find the loops over the operations, in execution order.

    A round begins at the first instruction that is executed exactly once per operation. Other loops
    (a string instruction, a walk over CPUs) run a different number of times, or within a round.

    Args:
        call: the instruction addresses of one hypercall.
        batch: operations per hypercall, 2 or more.
    """
    indices: dict[int, list[int]] = {}
    for index, address in enumerate(call):
        indices.setdefault(address, []).append(index)
    found: list[Loop] = []
    for starts in indices.values():  # in the order of first execution
        if len(starts) != batch or (found and starts[0] < found[-1].end):
            continue
        rounds = [tuple(call[a:b]) for a, b in pairwise(starts)]
        end = min(starts[-1] + len(rounds[-1]), len(call))
        rounds.append(tuple(call[starts[-1] : end]))
        found.append(Loop(tuple(rounds), end))
    return found


def modal(sequences: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the most frequent of one or more sequences."""
    return Counter(sequences).most_common(1)[0][0]
