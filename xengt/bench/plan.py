"""What to measure: the product of everything that `bench` was asked to vary."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from xengt.bench.result import Case
from xengt.errors import UnmetError
from xengt.xen.handle import MAPPINGS_PER_FAST_HANDLE
from xenlib_cffi.call import MAX_BATCH

#: references of each granter, where nobody says
REFERENCES = 256
#: mappings of a reference at once: those that share its fast handle, and a slow one
MAX_MAPPINGS = MAPPINGS_PER_FAST_HANDLE + 1


@dataclass(frozen=True)
class BenchPlan:
    """The options of `bench`, each with every value asked for.

    Attributes:
        engine: `hypercall`, `gntdev`.
        granter: `empty`, `self`, `guest`, `guest:NAME`.
        granters: empty domains.
        references: of each granter.
        batch: references a call.
        threads: each pinned to a vCPU.
        mappings: of each reference at once; the last one is timed.
        readonly: map for reading alone.
        hold: further mappings outstanding while measuring.
        rate: calls a second, of all threads; None flat out.
        samples: calls to time in each case; None with a duration.
        duration_s: seconds each case is measured; None with samples.
        digits: significant digits of the histograms.
    """

    engine: Sequence[str]
    granter: Sequence[str]
    granters: Sequence[int]
    references: Sequence[int]
    batch: Sequence[int]
    threads: Sequence[int]
    mappings: Sequence[int]
    readonly: Sequence[bool]
    hold: Sequence[int]
    rate: Sequence[float | None]
    samples: int | None
    duration_s: float | None
    digits: int

    def to_json(self) -> dict[str, object]:
        """The plan as the document holds it."""
        return {
            key: list(value) if isinstance(value, Sequence) else value
            for key, value in vars(self).items()
        }

    def setups(self) -> list["Setup"]:
        """Every case, in the order to measure them: granters change least often.

        Raises:
            UnmetError: a case that cannot be, and which option to change.
        """
        setups = dict.fromkeys(
            # A guest is one granter, and so is this domain.
            Setup(*values) if values[0] == "empty" else replace(Setup(*values), granters=1)
            for values in product(
                self.granter,
                self.granters,
                self.engine,
                self.references,
                self.batch,
                self.threads,
                self.mappings,
                self.readonly,
                self.hold,
                self.rate,
            )
        )
        for setup in setups:
            setup.check()
        return list(setups)


@dataclass(frozen=True)
class Setup:
    """One combination: measured once, it gives a map case and an unmap case."""

    granter: str
    granters: int
    engine: str
    references: int
    batch: int
    threads: int
    mappings: int
    readonly: bool
    hold: int
    rate: float | None

    def case(self, operation: str) -> Case:
        """The case of one of its two operations."""
        return Case(operation=operation, **vars(self))

    @property
    def needed(self) -> int:
        """References that the granters must have in all, the held ones included."""
        return self.granters * (self.references + -(-self.hold // self.granters))

    def check(self) -> None:
        """Refuse what cannot be.

        Raises:
            UnmetError: names the option.
        """
        vcpus = os.cpu_count() or 1
        if not 1 <= self.batch <= MAX_BATCH:
            raise UnmetError(
                f"a batch of {self.batch} is not between 1 and {MAX_BATCH}", "change --batch"
            )
        if self.threads > vcpus:
            raise UnmetError(
                f"{self.threads} threads want a vCPU each, and dom0 has {vcpus}",
                "lower --threads, or give dom0 more vCPUs (dom0_max_vcpus=)",
            )
        each = self.granters * self.references // self.threads
        if each < self.batch:
            raise UnmetError(
                f"{self.granters * self.references} references among {self.threads} threads "
                f"are {each} each, too few for a batch of {self.batch}",
                f"raise --references to {-(-self.batch * self.threads // self.granters)}",
            )
