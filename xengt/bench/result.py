"""One result of a document: the statistics of a case, computed from the histogram of its calls."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from xengt.bench.case import DECLARED, FIELD_DEFAULTS, Case
from xengt.bench.engines.names import EngineName
from xengt.bench.warning import ResultWarning, find_warnings
from xengt.documents.shape import Positive, check_shape
from xenlib_cffi.histogram import Histogram


@dataclass(frozen=True, slots=True)
class Latency:
    """Nanoseconds per operation: the time of a call divided by its batch."""

    min: float
    p50: float
    p90: float
    p99: float
    p99_9: float
    max: float
    mean: float


@dataclass(frozen=True, slots=True)
class Outliers:
    """Samples beyond Tukey's far fence (p75 + 3 IQR); they are reported, never discarded.

    Args:
        count: number of such samples.
        above_ns: the fence, ns per operation.
    """

    count: int
    above_ns: float


@dataclass(frozen=True, slots=True)
class Result:
    """One entry of `results` in a bench document.

    Args:
        case: what was measured.
        samples: number of timed calls, each of a whole batch.
        floor_ns: the measurement overhead, ns per operation at the same batch;
            None in documents of earlier versions that did not measure it.
        throughput_per_s: operations (not calls) per second over all threads.
        latency_ns: latency, ns per operation.
        outliers: samples far from the rest.
        warnings: reasons not to trust the result.
        histogram: the times of the calls in ns, as an HdrHistogram V2 log in base64.
    """

    case: Case
    samples: Positive
    floor_ns: float | None
    throughput_per_s: float
    latency_ns: Latency
    outliers: Outliers
    warnings: tuple[Any, ...]
    histogram: str

    def to_json(self) -> dict[str, Any]:
        """Return the result as the document holds it: the case's keys beside the figures."""
        figures = asdict(self)
        case = figures.pop("case")
        names = ("engine", "operation", *case)
        return {
            **{name: case[name] for name in names},
            **figures,
            "warnings": [warning.to_json() for warning in self.warnings],
        }

    @classmethod
    def from_json(cls, value: object, where: str = "result") -> Self:
        """Check and convert one entry of a document's `results`.

        Args:
            value: what the JSON decoder returned.
            where: the name of the value in an error.

        Raises:
            ShapeError: a key is missing, unknown, or of the wrong type.
        """
        entry = dict(value) if isinstance(value, Mapping) else value
        if isinstance(entry, dict):
            names = {each.name for each in fields(Case)}
            case = {name: entry.pop(name) for name in names & entry.keys()}
            # The case's keys lie flat in the document: an error names them like that, too.
            check_shape(absent_filled(case), Case, where)
            entry["case"] = absent_filled(case)
        figures = check_shape(entry, cls, where)
        case = figures["case"]
        return cls(
            **{
                **figures,
                "case": Case(**{**case, "engine": EngineName(case["engine"])}),
                "latency_ns": Latency(**figures["latency_ns"]),
                "outliers": Outliers(**figures["outliers"]),
                "warnings": tuple(
                    ResultWarning.from_json(warning, f"{where}.warnings[{index}]")
                    for index, warning in enumerate(figures["warnings"])
                ),
            }
        )


def absent_filled(case: Mapping[str, Any]) -> dict[str, Any]:
    """Return a case with the dimensions that documents of its version did not have.

    Args:
        case: the dimensions of a case, as a document holds them.
    """
    absent = {
        name: FIELD_DEFAULTS[name]
        for name, declared in DECLARED.items()
        if declared.recorded_since is not None
    }
    return {**absent, **case}


def summarise(
    case: Case,
    calls: Histogram,
    *,
    samples: int,
    elapsed_s: float,
    floor_ns: float | None,
) -> Result:
    """Compute the result of a case from the times of its calls.

    Args:
        case: what was measured.
        calls: ns per call of a whole batch, all threads merged; not empty. With a
            rate, the time of a call counts from when the call was due.
        samples: number of calls.
        elapsed_s: wall-clock seconds in which all threads made them.
        floor_ns: the measurement overhead, ns per operation at the same batch.

    Raises:
        ValueError: no call was recorded, or `elapsed_s` is not positive.
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
    warnings = find_warnings(
        samples=samples,
        clamped=calls.clamped,
        relative_stdev=spread,
        p50=latency.p50,
        p99_9=latency.p99_9,
        overhead=floor_ns,
    )
    return Result(
        case=case,
        samples=samples,
        floor_ns=floor_ns,
        throughput_per_s=samples * batch / elapsed_s,
        latency_ns=latency,
        outliers=_outliers(calls, batch),
        warnings=tuple(warnings),
        histogram=calls.encode(),
    )


def _outliers(calls: Histogram, batch: int) -> Outliers:
    low, high = calls.percentile(25), calls.percentile(75)
    fence = high + 3 * (high - low)
    return Outliers(
        count=sum(count for lowest, _, count in calls.buckets() if lowest > fence),
        above_ns=fence / batch,
    )
