"""The plan: the product of the options, its order, and what it refuses."""

from dataclasses import replace
from itertools import pairwise, product

import pytest

from xengt.bench.plan import BenchPlan, Setup
from xengt.errors import Exit, UnmetError

PLAN = BenchPlan(
    engine=["hypercall"],
    granter=["empty"],
    granters=[1],
    references=[256],
    batch=[1],
    threads=[1],
    mappings=[1],
    readonly=[False],
    hold=[0],
    rate=[None],
    samples=100,
    duration_s=None,
    digits=3,
)


@pytest.fixture(autouse=True)
def four_vcpus(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)


def test_one_value_each_is_one_case():
    assert PLAN.setups() == [
        Setup("empty", 1, "hypercall", 256, 1, 1, 1, readonly=False, hold=0, rate=None)
    ]


def test_every_combination_once_and_granters_change_least_often():
    varied = {
        "granter": ["empty", "self"],
        "granters": [1, 4],
        "engine": ["hypercall", "gntdev"],
        "references": [64, 128],
        "batch": [1, 32],
        "threads": [1, 2],
        "mappings": [1, 3],
        "readonly": [False, True],
        "hold": [0, 1000],
        "rate": [None, 500.0],
    }
    setups = replace(PLAN, **varied).setups()
    expected = [dict(zip(varied, values, strict=True)) for values in product(*varied.values())]
    # dom0 is one granter, however many empty domains are asked for beside it
    expected = [e for e in expected if e["granter"] == "empty" or e["granters"] == 1]
    assert [vars(setup) for setup in setups] == expected
    changes = [(s.granter, s.granters) for s in setups]
    assert len(set(changes)) == 1 + sum(a != b for a, b in pairwise(changes))


@pytest.mark.parametrize("granter", ["self", "guest", "guest:web"])
def test_whoever_is_no_empty_domain_is_one_granter(granter):
    setups = replace(PLAN, granter=[granter], granters=[3, 5]).setups()
    assert [setup.granters for setup in setups] == [1]


def test_a_case_carries_every_dimension():
    (setup,) = replace(PLAN, threads=[2], batch=[8], hold=[5], rate=[1.5]).setups()
    case = setup.case("unmap")
    assert (case.operation, case.engine, case.granter) == ("unmap", "hypercall", "empty")
    assert (case.batch, case.threads, case.granters, case.references) == (8, 2, 1, 256)
    assert (case.mappings, case.readonly, case.hold, case.rate) == (1, False, 5, 1.5)


@pytest.mark.parametrize(
    ("granters", "references", "hold", "needed"),
    [(1, 256, 0, 256), (1, 256, 10, 266), (4, 256, 10, 4 * 259), (3, 8, 3, 27), (3, 8, 4, 30)],
)
def test_needed_holds_the_held_ones_too_and_equally_many_of_each(
    granters, references, hold, needed
):
    (setup,) = replace(PLAN, granters=[granters], references=[references], hold=[hold]).setups()
    assert setup.needed == needed
    assert needed % granters == 0
    assert needed - granters * references >= hold


@pytest.mark.parametrize("batch", [0, -1, 513])
def test_a_batch_that_no_hypercall_takes_is_refused(batch):
    with pytest.raises(UnmetError, match=f"a batch of {batch} is not between 1 and 512") as error:
        replace(PLAN, batch=[1, batch]).setups()
    assert "--batch" in error.value.remedy


def test_more_threads_than_vcpus_are_refused():
    assert replace(PLAN, threads=[4]).setups()
    with pytest.raises(UnmetError, match="5 threads want a vCPU each, and dom0 has 4") as error:
        replace(PLAN, threads=[1, 5]).setups()
    assert "--threads" in error.value.remedy
    assert error.value.exit_code == Exit.UNMET


@pytest.mark.parametrize(
    ("granters", "references", "threads", "batch", "enough"),
    [(1, 100, 1, 128, 128), (1, 256, 4, 100, 400), (3, 10, 4, 16, 22), (2, 3, 3, 3, 5)],
)
def test_too_few_references_are_refused_and_the_remedy_is_enough(
    granters, references, threads, batch, enough
):
    plan = replace(PLAN, granters=[granters], threads=[threads], batch=[batch])
    with pytest.raises(UnmetError, match=f"too few for a batch of {batch}") as error:
        replace(plan, references=[references]).setups()
    assert error.value.remedy == f"raise --references to {enough}"
    assert replace(plan, references=[enough]).setups()
    with pytest.raises(UnmetError):
        replace(plan, references=[enough - 1]).setups()


def test_the_document_holds_the_plan_as_it_was_asked_for():
    plan = replace(PLAN, rate=(None, 2.0), readonly=(False, True), samples=None, duration_s=0.5)
    assert plan.to_json() == {
        "engine": ["hypercall"],
        "granter": ["empty"],
        "granters": [1],
        "references": [256],
        "batch": [1],
        "threads": [1],
        "mappings": [1],
        "readonly": [False, True],
        "hold": [0],
        "rate": [None, 2.0],
        "samples": None,
        "duration_s": 0.5,
        "digits": 3,
    }
