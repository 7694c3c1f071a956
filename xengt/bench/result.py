"""What was measured in one case: folded from the calls' histogram, one result of a document."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from xengt.documents.shape import Positive, check_shape
from xenlib_cffi.histogram import Histogram


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that tells one result of a run from another.

    Args:
        engine: `hypercall` or `gntdev`.
        operation: `map`, `unmap`, or gntdev's `unmap (asynchronous)`.
        granter: `empty`, `self`, `guest` or `guest:NAME`.
        batch: operations in one call.
        threads: threads that call at once, each on a vCPU of its own.
        granters: granting domains.
        references: references of each granter.
        mappings: how many mappings of each reference exist at once; the last is timed.
        readonly: whether the mappings are read-only.
        hold: mappings outstanding while measuring.
        rate: calls a second asked of all threads, or None for as fast as they go.
    """

    engine: str
    operation: str
    granter: str
    batch: Positive
    threads: Positive = 1
    granters: Positive = 1
    references: Positive = 1
    mappings: Positive = 1
    readonly: bool = False
    hold: int = 0
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Latency:
    """Nanoseconds per operation: a call's time divided by its batch."""

    min: float
    p50: float
    p90: float
    p99: float
    p99_9: float
    max: float
    mean: float


@dataclass(frozen=True, slots=True)
class Outliers:
    """Samples beyond Tukey's far fence (p75 + 3 IQR): told, and kept in every figure.

    Args:
        count: how many samples.
        above_ns: the fence, in ns per operation.
    """

    count: int
    above_ns: float


@dataclass(frozen=True, slots=True)
class Result:
    """One entry of `results` in an `xengt.bench/1` document.

    Args:
        case: what was measured.
        samples: timed calls, each of a whole batch.
        floor_ns: the instrument's own floor, ns per operation at the same
            batch; None where the engine has no operation that is refused at once.
        throughput_per_s: operations (not calls) per second, all threads together.
        latency_ns: ns per operation.
        outliers: how many samples lie far out.
        warnings: why not to trust the figures, and what to do about it.
        histogram: the calls' times in ns, as an HdrHistogram V2 log in base64.
    """

    case: Case
    samples: Positive
    floor_ns: float | None
    throughput_per_s: float
    latency_ns: Latency
    outliers: Outliers
    warnings: tuple[str, ...]
    histogram: str

    def to_json(self) -> dict[str, Any]:
        """Return the result as the document holds it: the case's keys beside the figures."""
        flat = asdict(self)
        return {**flat.pop("case"), **flat, "warnings": list(self.warnings)}

    @classmethod
    def from_json(cls, value: object, where: str = "result") -> Self:
        """Check and take over one entry of a document's `results`.

        Args:
            value: what the JSON decoder returned.
            where: what to call it in a message.

        Raises:
            ShapeError: a key is missing, unknown, or of the wrong type.
        """
        whole = dict(value) if isinstance(value, Mapping) else value
        if isinstance(whole, dict):
            keys = {field.name for field in fields(Case)}
            whole["case"] = {key: whole.pop(key) for key in keys & whole.keys()}
            # The case's keys lie flat in the document: name them as the reader sees them.
            check_shape(whole["case"], Case, where)
        figures = check_shape(whole, cls, where)
        return cls(
            **{
                **figures,
                "case": Case(**figures["case"]),
                "latency_ns": Latency(**figures["latency_ns"]),
                "outliers": Outliers(**figures["outliers"]),
                "warnings": tuple(figures["warnings"]),
            }
        )


def summarise(
    case: Case,
    calls: Histogram,
    *,
    samples: int,
    elapsed_s: float,
    floor_ns: float | None,
) -> Result:
    """Fold the times of a case's calls into its result.

    Args:
        case: what was measured.
        calls: ns per call of a whole batch, all threads merged; not empty.
        samples: calls really made. With a rate the histogram holds more: also
            the calls that would have been made while a slow one was waited for.
        elapsed_s: wall-clock seconds during which all those calls were made.
        floor_ns: the instrument's floor, ns per operation at the same batch.

    Raises:
        ValueError: nothing was recorded, or in no time.
    """
    if samples < 1 or calls.count < samples or elapsed_s <= 0:
        raise ValueError(f"{samples} samples ({calls.count} recorded) in {elapsed_s} s")
    batch = case.batch

    def quantile(percent: float) -> float:
        # A bucket's upper end can lie beyond the longest call, which is known exactly.
        return min(calls.percentile(percent), calls.max) / batch

    latency = Latency(
        min=calls.min / batch,
        p50=quantile(50),
        p90=quantile(90),
        p99=quantile(99),
        p99_9=quantile(99.9),
        max=calls.max / batch,
        mean=calls.mean / batch,
    )
    spread = calls.stdev / calls.mean if calls.mean else 0.0
    return Result(
        case=case,
        samples=samples,
        floor_ns=floor_ns,
        throughput_per_s=samples * batch / elapsed_s,
        latency_ns=latency,
        outliers=_outliers(calls, batch),
        warnings=tuple(_warnings(latency, spread, samples, floor_ns, calls.clamped)),
        histogram=calls.encode(),
    )


def _outliers(calls: Histogram, batch: int) -> Outliers:
    low, high = calls.percentile(25), calls.percentile(75)
    fence = high + 3 * (high - low)
    return Outliers(
        count=sum(count for lowest, _, count in calls.buckets() if lowest > fence),
        above_ns=fence / batch,
    )


# pyperf calls a benchmark unstable from this spread on.
_SPREAD = 0.10
# A quantile q rests on samples * (1 - q) samples: ask for ten of them.
_ENOUGH = (("p99.9", 10_000), ("p99", 1_000))


def _warnings(
    latency: Latency, spread: float, samples: int, floor_ns: float | None, clamped: int
) -> Iterator[str]:
    if spread >= _SPREAD:
        yield (
            f"the standard deviation is {100 * spread:.0f} % of the mean: "
            "compare medians, and quiet the host"
        )
    short = [(name, need) for name, need in _ENOUGH if samples < need]
    if short:
        names = " and ".join(name for name, _ in reversed(short))
        yield f"{samples:,} samples are too few for {names}: take {short[0][1]:,} (--samples)"
    if floor_ns is not None and floor_ns > latency.p50 / 2:
        yield (
            f"the instrument's floor is {100 * floor_ns / latency.p50:.0f} % of the median: "
            "raise --batch to share it among more operations"
        )
    if latency.p99_9 > 10 * latency.p50:
        yield (
            f"p99.9 is {latency.p99_9 / latency.p50:.0f} times the median: "
            "find what interrupts the loop before trusting the tail or the mean"
        )
    if clamped:
        yield (
            f"{clamped:,} of the samples lay beyond the histogram: "
            "max and mean are too low; find out what stalled the calls"
        )
