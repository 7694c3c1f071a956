"""Whether a figure without the measurement overhead is more than noise."""

from dataclasses import replace

import pytest

from tests.unit.made_documents import document
from xengt.runs.overhead import Figure, is_above_overhead, subtract_overhead


@pytest.mark.parametrize(("p90", "above"), [(1_000, True), (20_000, False)])
def test_a_single_run_is_compared_with_the_noise_within_it(p90: float, above: bool) -> None:
    # 400 samples with a median of 900 ns and an overhead of 850 ns: the net median is 50 ns.
    made = document(engines=("hypercall",), batches=(1,), threads=(1,)).results[0]
    latency = replace(made.latency_ns, p50=900, p90=p90)
    net = subtract_overhead(replace(made, latency_ns=latency, floor_ns=850, samples=400))
    assert net is not None
    assert is_above_overhead([net]) is above


def test_runs_scattered_around_the_overhead_are_not_above_it() -> None:
    assert is_above_overhead([Figure(10, 0), Figure(11, 0), Figure(12, 0)])
    assert not is_above_overhead([Figure(1, 0), Figure(2, 0), Figure(30, 0)])
    assert not is_above_overhead([Figure(10, 0), Figure(11, 0), Figure(-1, 0)])
