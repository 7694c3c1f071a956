"""Reasons not to trust a result, as data: what is wrong, and by how much."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypedDict

from xengt.documents.shape import check_shape

#: pyperf, too, calls a benchmark unstable from this relative standard deviation on.
_UNSTABLE = 0.10
#: A quantile q rests on samples * (1 - q) samples; at least ten of them are needed.
_REQUIRED_SAMPLES = (("p99", 1_000), ("p99.9", 10_000))
#: How many times the median p99.9 may be.
_LONG_TAIL = 10


class WarningKind(StrEnum):
    """What is wrong with a result; the comment says what the warning's value is."""

    UNSTABLE = "unstable"  # the standard deviation, percent of the mean
    FEW_SAMPLES = "few_samples"  # the number of samples
    OVERHEAD = "overhead"  # the measurement overhead, percent of the median
    LONG_TAIL = "long_tail"  # p99.9 as a multiple of the median
    CLAMPED = "clamped"  # the number of samples beyond the histogram
    TEXT = "text"  # a sentence of a document of version 1; the value is 0


class WarningRecord(TypedDict):
    """A warning as the document holds it."""

    kind: WarningKind
    value: float
    message: str


@dataclass(frozen=True, slots=True)
class ResultWarning:
    """One reason not to trust a result.

    Args:
        kind: what is wrong.
        value: by how much; see `WarningKind` for the unit.
        text: the sentence, for the kind `TEXT`.
    """

    kind: WarningKind
    value: float
    text: str = ""

    @property
    def message(self) -> str:
        """The warning as a sentence."""
        return self.text or describe(self.kind, self.value, self.value)

    def to_json(self) -> dict[str, Any]:
        """Return the warning as the document holds it."""
        return {"kind": str(self.kind), "value": self.value, "message": self.message}

    @classmethod
    def from_json(cls, value: object, where: str) -> "ResultWarning":
        """Check and convert a warning of a document.

        Args:
            value: an object of version 2, or a sentence of version 1.
            where: the name of the value in an error.

        Raises:
            ShapeError: it is neither.
        """
        if isinstance(value, str):
            return cls(WarningKind.TEXT, 0, value)
        record = check_shape(value, WarningRecord, where)
        kind = WarningKind(record["kind"])
        text = record["message"] if kind is WarningKind.TEXT else ""
        return cls(kind, record["value"], text)


def describe(kind: WarningKind, low: float, high: float) -> str:
    """Write warnings of one kind as one sentence.

    Args:
        kind: any but `TEXT`.
        low: the smallest of the values.
        high: the largest of them.
    """
    span = f"{low:,.0f}" if round(low) == round(high) else f"{low:,.0f} to {high:,.0f}"
    if kind is WarningKind.UNSTABLE:
        return (
            f"the standard deviation is {span} % of the mean: "
            "compare medians, and reduce noise on the host"
        )
    if kind is WarningKind.FEW_SAMPLES:
        names = " and ".join(name for name, required in _REQUIRED_SAMPLES if low < required)
        return f"{span} samples are too few for {names}: take {_required(low):,} (--samples)"
    if kind is WarningKind.OVERHEAD:
        return (
            f"the measurement overhead is {span} % of the median: "
            "raise --batch to divide it by more operations"
        )
    if kind is WarningKind.LONG_TAIL:
        return (
            f"p99.9 is {span} times the median: "
            "find what interrupts the loop before you trust the tail or the mean"
        )
    return (
        f"{span} samples exceeded the histogram's range: "
        "max and mean are too low; find out what delayed the calls"
    )


def _required(samples: float) -> int:
    return max(required for _, required in _REQUIRED_SAMPLES if samples < required)


def find_warnings(
    *,
    samples: int,
    clamped: int,
    relative_stdev: float,
    p50: float,
    p99_9: float,
    overhead: float | None,
) -> Iterator[ResultWarning]:
    """Yield the reasons not to trust a result.

    Args:
        samples: number of timed calls.
        clamped: how many of them exceeded the histogram's range.
        relative_stdev: standard deviation divided by the mean.
        p50: the median, in any unit.
        p99_9: the 99.9th percentile, in the same unit.
        overhead: the measurement overhead in the same unit; None if unknown.
    """
    if relative_stdev >= _UNSTABLE:
        yield ResultWarning(WarningKind.UNSTABLE, round(100 * relative_stdev, 1))
    if any(samples < required for _, required in _REQUIRED_SAMPLES):
        yield ResultWarning(WarningKind.FEW_SAMPLES, samples)
    if overhead is not None and overhead > p50 / 2:
        yield ResultWarning(WarningKind.OVERHEAD, round(100 * overhead / p50, 1))
    if p99_9 > _LONG_TAIL * p50:
        yield ResultWarning(WarningKind.LONG_TAIL, round(p99_9 / p50, 1))
    if clamped:
        yield ResultWarning(WarningKind.CLAMPED, clamped)
