"""The dimensions of a benchmark, each declared once as a field of `Setup`.

The command's options, the plan, the document with its schema, the progress
line and the reports are derived from these declarations.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from random import Random
from types import MappingProxyType
from typing import Annotated, Any, get_type_hints

from xengt.bench.dimension import NUMBER, Dimension, integer, one_of, positive, yes_or_no
from xengt.bench.engines.names import EngineName
from xengt.documents.shape import Positive
from xengt.errors import UnmetError
from xengt.sharing.references import Reference
from xengt.xen.domain_name import typed
from xengt.xen.handle import MAPPINGS_PER_FAST_HANDLE
from xenlib_cffi.call import MAX_BATCH

EMPTY_GRANTER = "empty"
MAX_MAPPINGS = MAPPINGS_PER_FAST_HANDLE + 1
"""Simultaneous mappings of a reference: those with its fast handle, and a slow one."""


def _granter(word: str) -> str:
    if word in {EMPTY_GRANTER, "self", "guest"} or (word.startswith("guest:") and word != "guest:"):
        return typed(word)
    raise ValueError("expected empty, self, guest, guest:NAME, guest:DOMID or guest:UUID")


@dataclass(frozen=True)
class Setup:
    """One combination of all dimensions; measuring it gives a map case and an unmap case."""

    engine: Annotated[
        EngineName,
        Dimension(
            "Who makes the calls: hypercall (GNTTABOP_map_grant_ref and "
            "GNTTABOP_unmap_grant_ref through libxencall, device maps) or gntdev "
            "(libxengnttab, like user-space backends).",
            EngineName.parse,
            {"enum": [str(name) for name in EngineName]},
            default=(EngineName.HYPERCALL,),
        ),
    ]
    granter: Annotated[
        str,
        Dimension(
            "Who grants the pages: empty (a domain without a guest OS), self (dom0), "
            "guest, guest:NAME, guest:DOMID or guest:UUID (a guest that runs `xengt share`).",
            _granter,
            {"type": "string"},
            default=(EMPTY_GRANTER,),
            outermost=True,
        ),
    ]
    batch: Annotated[
        Positive,
        Dimension(
            f"Operations per call, 1 to {MAX_BATCH}.",
            integer(1, MAX_BATCH),
            NUMBER,
            default=("1", "32"),
        ),
    ]
    threads: Annotated[
        Positive,
        Dimension(
            "Threads that call at the same time, each pinned to its own vCPU.",
            integer(1),
            NUMBER,
            default=("1",),
        ),
    ] = 1
    granters: Annotated[
        Positive,
        Dimension(
            "Number of empty domains that grant pages; only with --granter empty.",
            integer(1),
            NUMBER,
            default=("1",),
            outermost=True,
        ),
    ] = 1
    references: Annotated[
        Positive,
        Dimension(
            "Grant references of each granter.",
            integer(1),
            NUMBER,
            default_text="256, or the largest batch times the most threads",
        ),
    ] = 1
    mappings: Annotated[
        Positive,
        Dimension(
            f"Simultaneous mappings of each reference, 1 to {MAX_MAPPINGS}; the last one is timed.",
            integer(1, MAX_MAPPINGS),
            NUMBER,
            default=("1",),
        ),
    ] = 1
    readonly: Annotated[
        bool,
        Dimension(
            "Whether the mappings are read-only: no, yes.",
            yes_or_no,
            {"type": "boolean"},
            default=("no",),
        ),
    ] = False
    hold: Annotated[
        int,
        Dimension(
            "Number of mappings of further references that are held during the measurement.",
            integer(0),
            {"type": "integer", "minimum": 0},
            default=("0",),
        ),
    ] = 0
    rate: Annotated[
        float | None,
        Dimension(
            "Map calls per second over all threads, each followed by an unmap call. With a rate, "
            "the latency of a map call counts from the time at which it was due.",
            positive,
            {"type": ["number", "null"], "minimum": 0},
            default_text="unlimited",
        ),
    ] = None
    order: Annotated[
        str,
        Dimension(
            "Which references each thread maps, and in which order: sequential (consecutive "
            "references), interleaved (every n-th reference of n threads, so that threads "
            "share the cache lines of grant table entries) or random (the same in every run).",
            one_of("sequential", "interleaved", "random"),
            {"enum": ["sequential", "interleaved", "random"]},
            default=("sequential",),
            recorded_since=2,
        ),
    ] = "sequential"

    def case(self, operation: str) -> "Case":
        """Return the case of one of the two operations.

        Args:
            operation: one of the engine's `operations`.
        """
        return Case(**vars(self), operation=operation)

    @property
    def required_references(self) -> int:
        """Number of references that all granters need, including those for held mappings."""
        return self.granters * (self.references + -(-self.hold // self.granters))

    def check(self) -> None:
        """Check that this combination can be measured on this host.

        Raises:
            UnmetError: it cannot; names the option to change.
        """
        vcpus = os.cpu_count() or 1
        if self.threads > vcpus:
            raise UnmetError(
                f"{self.threads} threads need one vCPU each, and dom0 has {vcpus}",
                "lower --threads, or give dom0 more vCPUs (dom0_max_vcpus=)",
            )
        total = self.granters * self.references
        per_thread = total // self.threads
        if per_thread < self.batch:
            raise UnmetError(
                f"{total} references over {self.threads} threads are {per_thread} per thread, "
                f"fewer than a batch of {self.batch}",
                f"raise --references to {-(-self.batch * self.threads // self.granters)}",
            )

    def timed_and_held(
        self, references: Sequence[Reference]
    ) -> tuple[list[list[Reference]], list[Reference]]:
        """Divide the references: those that each thread times, and those whose mappings are held.

        Args:
            references: `required_references` of them, one granter after another.

        Returns:
            A list for each thread, and a list of the references to hold, in which
            a reference occurs once for each mapping of it.
        """
        per_granter = len(references) // self.granters
        timed: list[Reference] = []
        held: list[Reference] = []
        for first in range(0, per_granter * self.granters, per_granter):
            granted = references[first : first + per_granter]
            timed += granted[: self.references]
            held += granted[self.references :]
        if self.order == "random":
            Random(0).shuffle(timed)  # noqa: S311 (an order, not a secret)
        per_thread = len(timed) // self.threads
        if self.order == "interleaved":
            threads = [timed[i :: self.threads][:per_thread] for i in range(self.threads)]
        else:
            threads = [timed[i * per_thread : (i + 1) * per_thread] for i in range(self.threads)]
        # With --mappings 3, two mappings of each reference are held, and the loop makes the third.
        return threads, held[: self.hold] + timed * (self.mappings - 1)


@dataclass(frozen=True)
class Case(Setup):
    """Everything that distinguishes one result of a run from another.

    Args:
        operation: `map`, `unmap`, or gntdev's `unmap (asynchronous)`.
    """

    operation: str = field(kw_only=True)


def _declarations() -> dict[str, Dimension]:
    hints = get_type_hints(Setup, include_extras=True)
    return {each.name: hints[each.name].__metadata__[-1] for each in fields(Setup)}


DECLARED: Mapping[str, Dimension] = MappingProxyType(_declarations())
"""The declaration of each dimension, in the order of the columns of a report."""

FIELD_DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {each.name: each.default for each in fields(Setup) if each.default is not MISSING}
)
"""The value of each dimension that a setup need not state."""
