"""Engines: the interfaces through which a benchmark maps granted pages, or copies them.

`hypercall` and `copy` issue the grant-table operations themselves. `gntdev`, `gntdev-copy` and
`persistent` go through Linux as user-space backends do. `foreign` maps without grants. Each is a
module with one class, whose C functions are in xenlib_cffi/csrc; .github/CONTRIBUTING.md lists the
places to change for a new engine.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from xengt.bench.engines.copy import CopyEngine
from xengt.bench.engines.foreign import ForeignEngine
from xengt.bench.engines.gntdev import GntdevEngine
from xengt.bench.engines.gntdev_copy import GntdevCopyEngine
from xengt.bench.engines.hypercall import HypercallEngine
from xengt.bench.engines.names import EngineName
from xengt.bench.engines.persistent import PersistentEngine
from xengt.errors import XengtError
from xengt.recovery.journal import Journal
from xengt.sharing.references import Reference
from xengt.xen import preflight
from xenlib_cffi.errors import GrantError, XenLibraryError
from xenlib_cffi.loop import LoopEngine, ThreadShare


class Engine(Protocol):
    """Maps and unmaps references for one setup, or copies their pages.

    Attributes:
        loop: the C loop that times the operations.
        overhead_loop: the same loop over operations that are rejected at once; an empty loop for
            an engine that makes no calls.
        operations: the names in the results of its map and its unmap, or of its copies.
    """

    loop: LoopEngine
    overhead_loop: LoopEngine
    operations: tuple[str, str]

    def __init__(self, readonly: bool) -> None:
        """Prepare nothing that needs the references."""

    @staticmethod
    def require() -> None:
        """Check that this dom0 has what the engine needs.

        Raises:
            UnmetError: something is missing; names what to change.
        """

    def prepare(
        self,
        journal: Journal,
        timed: Sequence[Sequence[Reference]],
        batch: int,
        held: Sequence[Reference],
    ) -> list[ThreadShare]:
        """Map the held references, and return each thread's share of the timed ones.

        Args:
            journal: of this run.
            timed: the references of each thread; thread i runs on vCPU i.
            batch: operations per call.
            held: references to map until `release`.

        Raises:
            GrantError: Xen refused to map a held reference.
            XenLibraryError: a library call failed.
        """

    def release(self, journal: Journal) -> None:
        """Unmap the held references."""

    def explain(self, error: GrantError | XenLibraryError, journal: Journal) -> XengtError:
        """Return the error that tells the user what failed and what to change.

        Args:
            error: the error of `prepare`, of `release` or of the loop.
            journal: of this run.
        """


_CLASSES: Mapping[EngineName, type[Engine]] = {
    EngineName.HYPERCALL: HypercallEngine,
    EngineName.GNTDEV: GntdevEngine,
    EngineName.COPY: CopyEngine,
    EngineName.GNTDEV_COPY: GntdevCopyEngine,
    EngineName.PERSISTENT: PersistentEngine,
    EngineName.FOREIGN: ForeignEngine,
}


def create_engine(name: EngineName, *, readonly: bool) -> Engine:
    """Return the engine of a name.

    Args:
        name: as `--engine` has it.
        readonly: whether held references are mapped read-only.
    """
    return _CLASSES[name](readonly)


def require_dom0(engines: Iterable[EngineName]) -> None:
    """Check that this is a dom0 in which engines can run.

    Args:
        engines: the engines that the command uses.

    Raises:
        UnmetError: this is not a Xen dom0, or it lacks what one of the engines needs.
    """
    preflight.require_control_domain()
    for name in engines:
        _CLASSES[name].require()


__all__ = ["Engine", "EngineName", "create_engine", "require_dom0"]
