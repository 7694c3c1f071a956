"""The names of the engines: values of `--engine`, and of the label `engine` of the metrics."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
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


COPYING: Mapping[EngineName, tuple[EngineName, ...]] = MappingProxyType(
    {
        EngineName.COPY: (EngineName.HYPERCALL,),
        EngineName.GNTDEV_COPY: (EngineName.GNTDEV,),
        EngineName.PERSISTENT: (EngineName.HYPERCALL, EngineName.GNTDEV),
    }
)
"""Engines that copy the content of granted pages, from the granter and back, each with the engines
whose maps it replaces: by hypercall, or from user space through Linux. Persistent grants replace
either."""
TOUCHING = frozenset({EngineName.GNTDEV, EngineName.FOREIGN})
"""Engines whose mappings have an address in the process, so that it can access the pages."""
