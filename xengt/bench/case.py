"""The dimensions of a benchmark, each declared once as a field of `Setup`.

The command's options, the plan, the document with its schema, the progress
line and the reports are derived from these declarations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from random import Random
from types import MappingProxyType
from typing import Annotated, Any, get_type_hints

from xengt.bench.dimension import NUMBER, Dimension, integer, one_of, positive, yes_or_no
from xengt.bench.engines.names import COPYING, TOUCHING, EngineName
from xengt.documents.shape import Positive
from xengt.errors import UnmetError
from xengt.sharing.references import Reference
from xengt.xen import kernel
from xengt.xen.domain_name import typed
from xengt.xen.handle import MAPPINGS_PER_FAST_HANDLE
from xenlib_cffi.call import MAX_BATCH
from xenlib_cffi.library import PAGE_SIZE

EMPTY_GRANTER = "empty"
SELF_GRANTER = "self"
MAX_MAPPINGS = MAPPINGS_PER_FAST_HANDLE + 1
"""Simultaneous mappings of a reference: those with its fast handle, and a slow one."""
MIN_BYTES = 64
"""Bytes to copy or touch at least: a cache line."""


def _granter(word: str) -> str:
    if word in {EMPTY_GRANTER, SELF_GRANTER, "guest"} or (
        word.startswith("guest:") and word != "guest:"
    ):
        return typed(word)
    raise ValueError("expected empty, self, guest, guest:NAME, guest:DOMID or guest:UUID")


@dataclass(frozen=True)
class Setup:
    """One value of each dimension; measuring it gives a case for each operation."""

    engine: Annotated[
        EngineName,
        Dimension(
            "Interface to measure: hypercall (GNTTABOP_map_grant_ref and "
            "GNTTABOP_unmap_grant_ref through libxencall, device maps), gntdev "
            "(libxengnttab, like user-space backends), copy (GNTTABOP_copy through libxencall), "
            "gntdev-copy (xengnttab_grant_copy), persistent (memory copies from and to pages that "
            "stay mapped) or foreign (libxenforeignmemory: the same pages, mapped by frame).",
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
            "Number of additional references, not timed, that stay mapped during the measurement.",
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

    touch: Annotated[
        str,
        Dimension(
            "What happens to each mapped page before it is unmapped: none, read or write (one word "
            "of each cache line) or copy (to memory of the process). It is timed as an operation "
            "of its own. Only with the engines gntdev and foreign.",
            one_of("none", "read", "write", "copy"),
            {"enum": ["none", "read", "write", "copy"]},
            default=("none",),
            recorded_since=3,
        ),
    ] = "none"
    bytes: Annotated[
        Positive,
        Dimension(
            f"Number of bytes of each page that are copied or touched, {MIN_BYTES} to {PAGE_SIZE}. "
            "Only with engines that copy, or with --touch.",
            integer(MIN_BYTES, PAGE_SIZE),
            {"type": "integer", "minimum": MIN_BYTES, "maximum": PAGE_SIZE},
            default=(str(PAGE_SIZE),),
            recorded_since=3,
        ),
    ] = PAGE_SIZE

    def case(self, operation: str) -> "Case":
        """Return the case of one operation.

        Args:
            operation: one of the engine's `operations`, or `touch`.
        """
        return Case(**vars(self), operation=operation)

    @property
    def unused(self) -> Mapping[str, str]:
        """The dimensions that have no effect on this setup, each with what gives it an effect."""
        unused: dict[str, str] = {}
        if self.engine in COPYING or self.engine == EngineName.FOREIGN:
            unused |= dict.fromkeys(("mappings", "hold"), "add an --engine that maps grants")
        if self.engine in COPYING:
            unused["readonly"] = "add an --engine that maps"
        elif self.touch == "none" or self.engine not in TOUCHING:
            unused["bytes"] = "add an --engine that copies, or --touch with an engine that has it"
        if self.engine not in TOUCHING:
            unused["touch"] = f"add --engine {' or '.join(sorted(TOUCHING))}"
        # Only empty domains can be created in any number: a guest is one granter, and so is dom0.
        if self.granter != EMPTY_GRANTER:
            unused["granters"] = f"add --granter {EMPTY_GRANTER}"
        return unused

    def without_unused(self) -> "Setup":
        """Return this setup with the defaults of dimensions that have no effect on it."""
        return replace(self, **{name: FIELD_DEFAULTS[name] for name in self.unused})

    @property
    def required_references(self) -> int:
        """Number of references that all granters need, including those for held mappings."""
        return self.granters * (self.references + -(-self.hold // self.granters))

    def check(self) -> None:
        """Check that this combination can be measured on this host.

        Raises:
            UnmetError: it cannot; names the option to change.
        """
        vcpus = kernel.online_vcpus()
        if self.threads > vcpus:
            raise UnmetError(
                f"{self.threads} threads need one vCPU each, and dom0 has {vcpus}",
                "lower --threads, or give dom0 more vCPUs (dom0_max_vcpus=)",
            )
        if self.touch == "write" and self.readonly:
            raise UnmetError(
                "pages that are mapped read-only cannot be written",
                "use another value of --touch, or --readonly no",
            )
        if self.engine == EngineName.FOREIGN and (
            self.granters > 1 or self.granter == SELF_GRANTER
        ):
            raise UnmetError(
                "the engine foreign maps pages of one other domain at a time",
                "use one granter (--granters 1) that is not dom0 (--granter empty or guest)",
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
        operation: `map`, `unmap`, gntdev's `unmap (asynchronous)`, `touch`, `copy from granter` or
            `copy to granter`.
    """

    operation: str = field(kw_only=True)

    @property
    def setup(self) -> Setup:
        """The setup whose measurement gave the case."""
        return Setup(**{each.name: getattr(self, each.name) for each in fields(Setup)})


def _declarations() -> dict[str, Dimension]:
    hints = get_type_hints(Setup, include_extras=True)
    return {each.name: hints[each.name].__metadata__[-1] for each in fields(Setup)}


DECLARED: Mapping[str, Dimension] = MappingProxyType(_declarations())
"""The declaration of each dimension, in the order of the columns of a report."""

FIELD_DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {each.name: each.default for each in fields(Setup) if each.default is not MISSING}
)
"""The value of each dimension that a setup need not state."""
