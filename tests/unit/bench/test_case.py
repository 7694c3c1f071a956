"""The dimensions: which references each thread maps."""

from xengt.bench.case import Setup
from xengt.bench.plan import BenchPlan, with_defaults

REFERENCES = [(7, gref, 0) for gref in range(8, 19)]


def threads(order: str) -> list[list[int]]:
    setup = Setup("hypercall", "empty", batch=1, threads=2, references=11, order=order)
    timed, held = setup.timed_and_held(REFERENCES)
    assert held == []
    return [[gref for _, gref, _ in references] for references in timed]


def test_in_sequential_order_each_thread_has_consecutive_references() -> None:
    assert threads("sequential") == [[8, 9, 10, 11, 12], [13, 14, 15, 16, 17]]


def test_in_interleaved_order_neighbours_belong_to_different_threads() -> None:
    assert threads("interleaved") == [[8, 10, 12, 14, 16], [9, 11, 13, 15, 17]]


def test_random_order_has_each_reference_once_and_is_the_same_in_every_run() -> None:
    first, second = threads("random")
    assert len(first) == len(second) == 5
    assert len({*first, *second}) == 10
    assert first != sorted(first)
    assert threads("random") == [first, second]


def test_orders_can_be_varied_in_one_plan() -> None:
    values = with_defaults({"batch": [1], "order": ["sequential", "interleaved"]})
    setups = BenchPlan(values, samples=1, duration_s=None, digits=3).setups()
    assert [setup.order for setup in setups] == ["sequential", "interleaved"]
