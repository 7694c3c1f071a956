"""The growth of the memory of a process."""

from collections.abc import Sequence


def growth(values: Sequence[int]) -> int:
    """Return by how much the least of the later half exceeds the least of the earlier half.

    Anonymous memory is what lives and what malloc keeps free, for example in the arena of a thread
    that has ended. The second part goes up and down by megabytes, but is never negative. So the
    least of several values is close to the memory that lives, which a leak increases in all later
    ones. A mean, a median or a line through the values would take chance for a leak, or hide one.

    Args:
        values: at least two, in the order of time.
    """
    middle = len(values) // 2
    return min(values[middle:]) - min(values[:middle])
