"""Engines: the ways of mapping a reference that can be measured.

`hypercall` issues the grant-table operations itself; `gntdev` goes through
Linux, as user-space backends do. Both have one face.
"""

from collections.abc import Sequence
from typing import Protocol

from xengt.bench.engines.gntdev import GntdevEngine
from xengt.bench.engines.hypercall import HypercallEngine
from xengt.errors import XengtError
from xengt.recovery.journal import Journal
from xengt.sharing.references import Reference
from xenlib_cffi.errors import GrantError, XenLibraryError
from xenlib_cffi.loop import LoopEngine, ThreadShare


class Engine(Protocol):
    """A way of mapping, for one case.

    Attributes:
        loop: the C loop that times it.
        floor: the same loop over operations that are refused at once.
        operations: what its map and its unmap are called in the results.
    """

    loop: LoopEngine
    floor: LoopEngine
    operations: tuple[str, str]

    def shares(
        self,
        journal: Journal,
        parts: Sequence[Sequence[Reference]],
        batch: int,
        held: Sequence[Reference],
    ) -> list[ThreadShare]:
        """Say who will map what, and hold some mappings until `release`.

        Args:
            journal: of this run.
            parts: the references of each thread; thread i runs on vCPU i.
            batch: references a call.
            held: references mapped now and held.

        Raises:
            GrantError: Xen refused one to hold.
            XenLibraryError: a library call failed.
        """

    def release(self, journal: Journal) -> None:
        """Unmap what is held."""

    def explain(self, error: GrantError | XenLibraryError) -> XengtError:
        """What a failure of this engine means, and what can be done about it."""


def create_engine(name: str, *, readonly: bool) -> Engine:
    """The engine that `--engine` names.

    Args:
        name: `hypercall` or `gntdev`.
        readonly: hold mappings for reading alone.
    """
    return HypercallEngine(readonly) if name == "hypercall" else GntdevEngine(readonly)


__all__ = ["Engine", "create_engine"]
