"""The names of the engines: values of `--engine`, and of the label `engine` of the metrics."""

from enum import StrEnum
from typing import Self


class EngineName(StrEnum):
    """Who makes the grant calls."""

    HYPERCALL = "hypercall"
    GNTDEV = "gntdev"

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
