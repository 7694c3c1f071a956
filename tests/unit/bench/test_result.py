"""Folding a histogram of calls into a result, against figures computed from the samples."""

import statistics
from dataclasses import asdict
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xengt.bench.case import DECLARED, Case
from xengt.bench.result import Result, summarise
from xengt.bench.warning import ResultWarning, WarningKind
from xengt.documents.shape import ShapeError
from xenlib_cffi.histogram import Histogram

MAP = Case("hypercall", "empty", batch=32, references=256, operation="map")
ONE = Case("hypercall", "empty", batch=1, operation="map")


def folded(
    values: list[int], *, floor_ns: float | None = 0.0, case: Case = MAP, elapsed_s: float = 1.0
) -> Result:
    calls = Histogram()
    for value in values:
        calls.record(value)
    return summarise(case, calls, samples=len(values), elapsed_s=elapsed_s, floor_ns=floor_ns)


def steady(count: int = 10_000, typical: int = 25_600) -> list[int]:
    random = Random(7)  # noqa: S311 (samples, not secrets)
    return [round(random.gauss(typical, typical / 100)) for _ in range(count)]


def test_latency_is_the_call_divided_by_its_batch() -> None:
    values = sorted(steady())
    latency = folded(values).latency_ns
    assert latency.min == values[0] / 32
    assert latency.max == values[-1] / 32
    assert latency.mean == pytest.approx(statistics.fmean(values) / 32, rel=1e-3)
    for found, q in ((latency.p50, 0.5), (latency.p90, 0.9), (latency.p99, 0.99)):
        assert found == pytest.approx(values[int(q * len(values)) - 1] / 32, rel=2e-3)
    assert latency.p99_9 == pytest.approx(values[9_989] / 32, rel=2e-3)


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=50), st.sampled_from([1, 7, 512]))
def test_latency_never_falls_from_min_to_max(values: list[int], batch: int) -> None:
    result = folded(values, case=Case("hypercall", "empty", batch=batch, operation="map"))
    figures = list(asdict(result.latency_ns).values())[:-1]
    assert figures == sorted(figures)


def test_throughput_counts_operations_of_all_threads() -> None:
    assert folded(steady(10_000), elapsed_s=0.5).throughput_per_s == 10_000 * 32 / 0.5


def test_outliers_lie_beyond_the_far_fence_and_are_kept() -> None:
    quartiles = [1_000] * 50 + [1_100] * 50
    result = folded([*quartiles, 1_399, 1_400, 1_402, 50_000], case=ONE)
    assert asdict(result.outliers) == {"count": 2, "above_ns": 1_400}
    assert result.latency_ns.max == 50_000
    assert result.samples == 104


def test_a_steady_case_has_no_warning() -> None:
    assert folded(steady(), floor_ns=224).warnings == ()


@pytest.mark.parametrize(
    ("values", "floor_ns", "says"),
    [
        (steady() + [250_000] * 200, 224, "standard deviation is"),
        (steady(9_999), 224, "9,999 samples are too few for p99.9: take 10,000 (--samples)"),
        (steady(999), 224, "999 samples are too few for p99 and p99.9: take 10,000"),
        (steady(), 520, "measurement overhead is 65 % of the median: raise --batch"),
        (steady() + [300_000] * 20, 224, "p99.9 is 12 times the median"),
        ([*steady(), 4_000_000_000_000], 224, "1 samples exceeded the histogram's range"),
    ],
)
def test_each_reason_not_to_trust_is_told(values: list[int], floor_ns: float, says: str) -> None:
    assert any(says in warning.message for warning in folded(values, floor_ns=floor_ns).warnings)


def test_without_a_floor_nothing_is_said_of_it() -> None:
    result = folded(steady(), floor_ns=None)
    assert result.floor_ns is None
    assert result.warnings == ()


def test_json_holds_the_case_flat_and_comes_back() -> None:
    result = folded(steady())
    value = result.to_json()
    assert value["batch"] == 32
    assert value["latency_ns"]["p99_9"] == result.latency_ns.p99_9
    assert Result.from_json(value) == result
    assert Histogram.decode(value["histogram"]).count == 10_000


#: dimensions that earlier versions of the document do not have
ADDED = {name for name, declared in DECLARED.items() if declared.recorded_since}


@pytest.mark.parametrize("key", sorted(folded([1_000]).to_json().keys() - ADDED))
def test_a_result_without_one_of_its_keys_is_refused(key: str) -> None:
    value = folded([1_000]).to_json()
    del value[key]
    with pytest.raises(ShapeError, match=rf'^results\[3\] has no "{key}"$'):
        Result.from_json(value, "results[3]")


@pytest.mark.parametrize(
    ("samples", "elapsed_s"), [(0, 1.0), (1, 0.0), (2, 1.0)], ids=["none", "no time", "too few"]
)
def test_what_cannot_be_a_measurement_is_refused(samples: int, elapsed_s: float) -> None:
    calls = Histogram()
    calls.record(1_000)
    with pytest.raises(ValueError, match="samples"):
        summarise(MAP, calls, samples=samples, elapsed_s=elapsed_s, floor_ns=None)


def test_a_warning_is_an_object_of_the_document_and_comes_back() -> None:
    result = folded(steady(999), floor_ns=224)
    (few,) = result.warnings
    assert few == ResultWarning(WarningKind.FEW_SAMPLES, 999)
    (record,) = result.to_json()["warnings"]
    assert record == {"kind": "few_samples", "value": 999, "message": few.message}
    assert Result.from_json(result.to_json()) == result


def test_a_warning_of_version_1_is_a_sentence() -> None:
    value = {**folded(steady()).to_json(), "warnings": ["the host was noisy"]}
    result = Result.from_json(value)
    assert result.warnings == (ResultWarning(WarningKind.TEXT, 0, "the host was noisy"),)
    assert Result.from_json(result.to_json()) == result
