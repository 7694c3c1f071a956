"""The plan: the product of the options, its order, and what it refuses."""

from itertools import pairwise, product

import pytest

from xengt.bench.case import DECLARED, Setup
from xengt.bench.plan import BenchPlan, with_defaults
from xengt.errors import Exit, UnmetError

VALUES = {
    "engine": ["hypercall"],
    "granter": ["empty"],
    "granters": [1],
    "references": [256],
    "batch": [1],
    "threads": [1],
    "mappings": [1],
    "readonly": [False],
    "hold": [0],
    "rate": [None],
}


def plan(**values):
    return BenchPlan(with_defaults({**VALUES, **values}), samples=100, duration_s=None, digits=3)


@pytest.fixture(autouse=True)
def four_vcpus(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)


def test_one_value_each_is_one_case():
    assert plan().setups() == [
        Setup("hypercall", "empty", batch=1, threads=1, granters=1, references=256)
    ]


def test_every_combination_once_and_granters_change_least_often():
    varied = {
        "granter": ["empty", "self"],
        "granters": [1, 4],
        "engine": ["hypercall", "gntdev"],
        "batch": [1, 32],
        "threads": [1, 2],
        "references": [64, 128],
        "mappings": [1, 3],
        "readonly": [False, True],
        "hold": [0, 1000],
        "rate": [None, 500.0],
    }
    setups = plan(**varied).setups()
    expected = [dict(zip(varied, values, strict=True)) for values in product(*varied.values())]
    # dom0 is one granter, whatever --granters says
    expected = [e for e in expected if e["granter"] == "empty" or e["granters"] == 1]
    assert [{name: getattr(setup, name) for name in varied} for setup in setups] == expected
    changes = [(s.granter, s.granters) for s in setups]
    assert len(set(changes)) == 1 + sum(a != b for a, b in pairwise(changes))


@pytest.mark.parametrize("granter", ["self", "guest", "guest:web"])
def test_the_number_of_granters_applies_only_to_empty_domains(granter):
    with pytest.raises(UnmetError, match="--granters 3 has no effect") as error:
        plan(granter=[granter], granters=[1, 3, 5]).setups()
    assert error.value.remedy == "leave out --granters, or add --granter empty"
    setups = plan(granter=["empty", granter], granters=[3, 5]).setups()
    assert [(each.granter, each.granters) for each in setups] == [
        ("empty", 3),
        ("empty", 5),
        (granter, 1),
    ]


def test_a_case_carries_every_dimension():
    (setup,) = plan(threads=[2], batch=[8], hold=[5], rate=[1.5]).setups()
    case = setup.case("unmap")
    assert (case.operation, case.engine, case.granter) == ("unmap", "hypercall", "empty")
    assert (case.batch, case.threads, case.granters, case.references) == (8, 2, 1, 256)
    assert (case.mappings, case.readonly, case.hold, case.rate) == (1, False, 5, 1.5)


@pytest.mark.parametrize(
    ("granters", "references", "hold", "needed"),
    [(1, 256, 0, 256), (1, 256, 10, 266), (4, 256, 10, 4 * 259), (3, 8, 3, 27), (3, 8, 4, 30)],
)
def test_the_required_references_include_the_held_ones_and_are_equal_for_each_granter(
    granters, references, hold, needed
):
    (setup,) = plan(granters=[granters], references=[references], hold=[hold]).setups()
    assert setup.required_references == needed
    assert needed % granters == 0
    assert needed - granters * references >= hold


@pytest.mark.parametrize(
    ("engine", "used"),
    [
        ("hypercall", {"mappings": 3, "readonly": True, "hold": 9}),
        ("gntdev", {"mappings": 3, "readonly": True, "hold": 9, "touch": "read", "bytes": 64}),
        ("copy", {"bytes": 64}),
        ("gntdev-copy", {"bytes": 64}),
        ("persistent", {"bytes": 64}),
        ("foreign", {"readonly": True, "touch": "read", "bytes": 64}),
    ],
)
def test_dimensions_that_an_engine_does_not_use_keep_their_defaults(engine, used):
    asked = {"mappings": 3, "readonly": True, "hold": 9, "touch": "read", "bytes": 64}
    values = {name: [value] for name, value in asked.items()}
    # The other engines give each value an effect.
    setups = plan(engine=[engine, "gntdev"], **values).setups()
    (setup,) = (setup for setup in setups if setup.engine == engine)
    defaults = {"mappings": 1, "readonly": False, "hold": 0, "touch": "none", "bytes": 4096}
    assert {name: getattr(setup, name) for name in asked} == {**defaults, **used}


def test_engines_that_do_not_touch_pages_are_measured_once():
    touches = {"touch": ["none", "read", "copy"], "bytes": [64, 4096]}
    setups = plan(engine=["hypercall", "gntdev", "copy"], **touches).setups()
    assert [(setup.engine, setup.touch, setup.bytes) for setup in setups] == [
        ("hypercall", "none", 4096),
        ("gntdev", "none", 4096),
        ("gntdev", "read", 64),
        ("gntdev", "read", 4096),
        ("gntdev", "copy", 64),
        ("gntdev", "copy", 4096),
        ("copy", "none", 64),
        ("copy", "none", 4096),
    ]


@pytest.mark.parametrize(
    ("engines", "values", "option", "remedy"),
    [
        (
            ["hypercall", "copy"],
            {"touch": ["none", "read"]},
            "--touch read",
            "add --engine foreign or gntdev",
        ),
        (
            ["gntdev"],
            {"bytes": [4096, 64]},
            "--bytes 64",
            "add an --engine that copies, or --touch",
        ),
        (["copy", "persistent"], {"readonly": [True]}, "--readonly yes", "an --engine that maps"),
        (["copy", "foreign"], {"mappings": [1, 2]}, "--mappings 2", "an --engine that maps grants"),
        (["gntdev-copy"], {"hold": [7]}, "--hold 7", "an --engine that maps grants"),
    ],
)
def test_an_option_that_no_engine_uses_is_refused(engines, values, option, remedy):
    with pytest.raises(UnmetError, match=f"{option} has no effect") as error:
        plan(engine=engines, **values).setups()
    assert remedy in error.value.remedy
    assert "--engine" in error.value.remedy


def test_readonly_pages_cannot_be_written():
    with pytest.raises(UnmetError, match="read-only cannot be written"):
        plan(engine=["gntdev"], touch=["write"], readonly=[True]).setups()
    assert plan(engine=["gntdev"], touch=["read"], readonly=[True]).setups()


@pytest.mark.parametrize("values", [{"granters": [2]}, {"granter": ["self"]}])
def test_the_engine_foreign_maps_one_other_domain(values):
    with pytest.raises(UnmetError, match="pages of one other domain at a time"):
        plan(engine=["foreign"], **values).setups()


@pytest.mark.parametrize("size", ["0", "63", "4097", "1k"])
def test_a_number_of_bytes_beyond_a_page_or_below_a_cache_line_is_rejected(size):
    with pytest.raises(ValueError, match="expected a whole number from 64 to 4096"):
        DECLARED["bytes"].parse(size)


@pytest.mark.parametrize("batch", ["0", "-1", "513"])
def test_a_batch_that_no_hypercall_accepts_is_rejected(batch):
    with pytest.raises(ValueError, match="expected a whole number from 1 to 512"):
        DECLARED["batch"].parse(batch)


def test_more_threads_than_vcpus_are_refused():
    assert plan(threads=[4]).setups()
    with pytest.raises(UnmetError, match="5 threads need one vCPU each, and dom0 has 4") as error:
        plan(threads=[1, 5]).setups()
    assert "--threads" in error.value.remedy
    assert error.value.exit_code == Exit.UNMET


@pytest.mark.parametrize(
    ("granters", "references", "threads", "batch", "enough"),
    [(1, 100, 1, 128, 128), (1, 256, 4, 100, 400), (3, 10, 4, 16, 22), (2, 3, 3, 3, 5)],
)
def test_too_few_references_are_refused_and_the_remedy_is_enough(
    granters, references, threads, batch, enough
):
    values = {"granters": [granters], "threads": [threads], "batch": [batch]}
    with pytest.raises(UnmetError, match=f"fewer than a batch of {batch}") as error:
        plan(**values, references=[references]).setups()
    assert error.value.remedy == f"raise --references to {enough}"
    assert plan(**values, references=[enough]).setups()
    with pytest.raises(UnmetError):
        plan(**values, references=[enough - 1]).setups()


def test_the_document_holds_the_plan_as_it_was_asked_for():
    values = with_defaults({**VALUES, "rate": (None, 2.0), "readonly": (False, True)})
    made = BenchPlan(values, samples=None, duration_s=0.5, digits=3)
    assert made.to_json()["readonly"] == [False, True]
    assert made.to_json() == {
        **{name: list(each) for name, each in values.items()},
        "samples": None,
        "duration_s": 0.5,
        "digits": 3,
    }


def test_values_that_are_not_given_are_the_declared_defaults():
    values = with_defaults({})
    assert (values["engine"], values["granter"]) == (["hypercall"], ["empty"])
    assert (values["batch"], values["references"], values["rate"]) == ([1, 32], [256], [None])


def test_the_default_references_are_enough_for_the_largest_batch_of_all_threads():
    assert with_defaults({"batch": [1, 300], "threads": [2]})["references"] == [600]


def timed_and_held(granted, **values):
    (setup,) = plan(**values).setups()
    return setup.timed_and_held(granted)


def test_each_granter_gives_its_part_of_the_timed_and_of_the_held_references():
    references = [(domid, gref, 0) for domid in (7, 8) for gref in range(8, 13)]
    timed, held = timed_and_held(references, granters=[2], references=[4], hold=[2], threads=[2])
    assert timed == [references[:4], references[5:9]]
    assert held == [references[4], references[9]]


def test_all_mappings_of_a_reference_but_the_last_are_held():
    references = [(7, 8, 0), (7, 9, 0)]
    timed, held = timed_and_held(references, references=[2], mappings=[3])
    assert timed == [references]
    assert held == references * 2
