"""One way to map compared with one way to copy, over the number of bytes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import sqrt
from statistics import fmean, stdev
from typing import Any

from xengt.bench.case import Setup
from xengt.bench.engines.names import EngineName
from xengt.statistics.confidence import interval_factor


@dataclass(frozen=True, slots=True)
class SizeCosts:
    """The costs of one number of bytes.

    Args:
        bytes: the number of bytes of a page that are used.
        mapping_ns: the cost of mapping in each run, in ns per page, overhead excluded.
        copying_ns: the cost of copying in each run, in ns per page, overhead excluded.
    """

    bytes: int
    mapping_ns: tuple[float, ...]
    copying_ns: tuple[float, ...]

    @property
    def means(self) -> tuple[float, float]:
        """The mean cost of mapping and of copying over the runs, in ns per page."""
        return fmean(self.mapping_ns), fmean(self.copying_ns)

    @property
    def saved_ns(self) -> float:
        """What mapping saves: the mean over the runs of the cost of copying minus mapping."""
        mapping, copying = self.means
        return copying - mapping

    @property
    def saved_error_ns(self) -> float | None:
        """Half the width of the confidence interval of `saved_ns`; None for a single run."""
        saved = [c - m for m, c in zip(self.mapping_ns, self.copying_ns, strict=True)]
        if len(saved) == 1:
            return None
        return interval_factor(len(saved) - 1) * stdev(saved) / sqrt(len(saved))

    def to_json(self) -> dict[str, Any]:
        """Return the costs as an entry of `sizes` in `break-even.schema.json`."""
        mapping, copying = self.means
        return {
            "bytes": self.bytes,
            "mapping_ns": {"mean": mapping, "runs": list(self.mapping_ns)},
            "copying_ns": {"mean": copying, "runs": list(self.copying_ns)},
        }


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where the cost of copying reaches that of mapping.

    Args:
        bytes: the number of bytes, interpolated between measured ones; None if copying is cheaper
            at the largest measured one.
        is_smallest: whether it is the smallest measured number of bytes, so that the true value
            may be smaller.
    """

    bytes: float | None
    is_smallest: bool = False


@dataclass(frozen=True, slots=True)
class BreakEvenRow:
    """The costs of one way to map and of one way to copy, and their break-even.

    Args:
        setup: the setup of the mapping, except its number of bytes.
        copying: the engine that copies in its place.
        operation: `copy from granter` or `copy to granter`.
        sizes: the costs by number of bytes, in ascending order, at least one.
    """

    setup: Setup
    copying: EngineName
    operation: str
    sizes: tuple[SizeCosts, ...]

    @property
    def is_determined(self) -> bool:
        """Whether the cost of mapping is above the overhead that was subtracted.

        The patched Xen flushes TLBs after rejected unmaps, which measure the overhead, and not
        after completed unmaps of device mappings, so the overhead can be larger than the latency.
        """
        return min(cost for each in self.sizes for cost in each.mapping_ns) > 0

    @property
    def value(self) -> Crossing | None:
        """The break-even; None if it is not determined."""
        if not self.is_determined:
            return None
        return self._crossing([each.saved_ns for each in self.sizes])

    @property
    def interval(self) -> tuple[Crossing, Crossing] | None:
        """The ends of the break-even's confidence interval.

        None if there is no break-even, or only one run.

        They are the break-evens of the lower and the upper ends of the intervals of what mapping
        saves.
        """
        errors = [each.saved_error_ns for each in self.sizes]
        bounds = [
            (each.saved_ns - error, each.saved_ns + error)
            for each, error in zip(self.sizes, errors, strict=True)
            if error is not None
        ]
        if self.value is None or len(bounds) < len(self.sizes):
            return None
        return (
            self._crossing([high for _, high in bounds]),
            self._crossing([low for low, _ in bounds]),
        )

    @property
    def verdict(self) -> str:
        """The break-even in words."""
        largest, value = self.sizes[-1].bytes, self.value
        if value is None:
            return "not determined: the measurement overhead exceeds the latency of mapping"
        if value.bytes is None:
            return f"copying is cheaper at {largest:,} bytes"
        if value.is_smallest:
            return f"mapping is cheaper from {value.bytes:,.0f} bytes on, or fewer"
        return f"mapping is cheaper from {value.bytes:,.0f} bytes on"

    def _crossing(self, saved: Sequence[float]) -> Crossing:
        """Return the number of bytes from which on mapping saves something at all measured sizes.

        Args:
            saved: what mapping saves at each of `sizes`, in ns per page.
        """
        points = [(each.bytes, value) for each, value in zip(self.sizes, saved, strict=True)]
        if points[-1][1] < 0:
            return Crossing(None)
        for (low, before), (high, after) in reversed(list(pairwise(points))):
            if before < 0:
                return Crossing(low + (high - low) * -before / (after - before))
        return Crossing(points[0][0], is_smallest=True)

    def to_json(self) -> dict[str, Any]:
        """Return the row as an entry of `results` in `break-even.schema.json`."""
        value, ends = self.value, self.interval
        low, high = (None, None) if ends is None else (end.bytes for end in ends)
        setup = {name: value for name, value in asdict(self.setup).items() if name != "bytes"}
        return {
            **setup,
            "copying": self.copying,
            "operation": self.operation,
            "sizes": [each.to_json() for each in self.sizes],
            "break_even_bytes": value.bytes if value else None,
            "is_smallest": value is not None and value.is_smallest,
            "low": low,
            "high": high,
            "has_interval": ends is not None,
            "verdict": self.verdict,
        }
