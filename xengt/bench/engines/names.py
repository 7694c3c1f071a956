"""The names of the engines: values of `--engine`, and of the label `engine` of the metrics."""

from enum import StrEnum
from typing import Self


class EngineName(StrEnum):
    """Who makes the calls, and which."""

    HYPERCALL = "hypercall"
    GNTDEV = "gntdev"
    COPY = "copy"
    GNTDEV_COPY = "gntdev-copy"
    PERSISTENT = "persistent"
    FOREIGN = "foreign"

    @classmethod
    def parse(cls, word: str) -> Self:
        """Return the engine of a name.

        Raises:
            ValueError: no engine has it; says which names there are.
        """
        try:
            return cls(word)
        except ValueError:
            raise ValueError(f"expected one of {', '.join(cls)}") from None


COPYING = frozenset({EngineName.COPY, EngineName.GNTDEV_COPY, EngineName.PERSISTENT})
"""Engines that copy the content of granted pages, from the granter and back."""
TOUCHING = frozenset({EngineName.GNTDEV, EngineName.FOREIGN})
"""Engines whose mappings have an address in the process, so that it can access the pages."""
