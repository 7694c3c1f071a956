"""Cut a stream of executed instructions into hypercalls, and these into operations."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise


def calls(addresses: Iterable[int], entry: int, exits: frozenset[int]) -> Iterator[tuple[int, ...]]:
    """Yield each whole call of a function: from its first instruction to its return.

    Args:
        addresses: everything that was executed, in order.
        entry: where the function begins.
        exits: its own return instructions.
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
    """A loop of a call that went round once for each operation.

    Attributes:
        rounds: the instructions of each round. Nothing tells where the last one ends: it has the
            length of the one before it.
        end: where in the call the last round ends.
    """

    rounds: tuple[tuple[int, ...], ...]
    end: int

    @property
    def modal(self) -> tuple[int, ...]:
        """The round that came most often; of several the first."""
        return modal(self.rounds[:-1])

    @property
    def instructions(self) -> int:
        """Instructions of all its rounds."""
        return sum(map(len, self.rounds))


def loops(call: Sequence[int], batch: int) -> list[Loop]:
    """Find the loops over the operations, in the order they run.

    An instruction that ran exactly once for each operation, and is the first one that did, begins
    a round. Other loops (a string instruction, a walk over CPUs) run a different number of times,
    or within a round.

    Args:
        call: the instructions of one hypercall.
        batch: operations in it, 2 or more.
    """
    at: dict[int, list[int]] = {}
    for position, address in enumerate(call):
        at.setdefault(address, []).append(position)
    found: list[Loop] = []
    for positions in at.values():  # in the order of first appearance
        if len(positions) != batch or (found and positions[0] < found[-1].end):
            continue
        rounds = [tuple(call[a:b]) for a, b in pairwise(positions)]
        end = min(positions[-1] + len(rounds[-1]), len(call))
        rounds.append(tuple(call[positions[-1] : end]))
        found.append(Loop(tuple(rounds), end))
    return found


def modal(found: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the sequence that came most often; there must be one."""
    return Counter(found).most_common(1)[0][0]
