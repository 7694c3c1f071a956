"""The suite: which cases it selects, its document, its text, and how it goes on."""

from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from tests.unit.made_documents import HOST
from xengt.bench import document, partial
from xengt.bench.engines.names import COPYING, EngineName
from xengt.bench.noise import relative_spread
from xengt.bench.result import Result, summarise
from xengt.bench.schema import bench_schema
from xengt.bench.suite import SIZES, TOTAL_S, SuitePlan, plan_suite
from xengt.cli import app
from xengt.documents.write import replace_json
from xengt.errors import UnmetError
from xengt.report import suite_text
from xenlib_cffi.histogram import Histogram

ALL = list(EngineName)


@pytest.fixture(autouse=True)
def many_vcpus(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 64)


def results(plan: SuitePlan, most: int | None = None) -> list[Result]:
    """Return results of the first `most` setups of a plan."""
    made = []
    for setup in plan.setups()[:most]:
        copies = setup.engine in COPYING
        names = ["copy from granter", "copy to granter"] if copies else ["map", "unmap"]
        if setup.touch != "none":
            names.insert(1, "touch")
        for name in names:
            calls = Histogram()
            calls.record((800 + (setup.bytes if copies else 1000)) * setup.batch, 100)
            case = setup.case(name)
            made.append(
                summarise(case, calls, samples=100, elapsed_s=0.1 * setup.batch, floor_ns=500)
            )
    return made


def test_the_suite_takes_ten_minutes():
    for vcpus in (1, 2, 64):
        plan = plan_suite(ALL, vcpus, copy_pages=10_000)
        assert 50 <= len(plan.setups()) <= 130
        assert len(plan.setups()) * plan.duration_s == pytest.approx(TOTAL_S, rel=0.01)


def test_the_suite_measures_batches_threads_sizes_and_touches():
    setups = plan_suite(ALL, 6, copy_pages=10_000).setups()
    assert {setup.engine for setup in setups} == set(EngineName)
    for engine in ("hypercall", "gntdev"):
        own = [setup for setup in setups if setup.engine == engine]
        assert {setup.batch for setup in own} == {1, 4, 16, 32, 64, 256}
        for batch in (1, 32):
            assert {s.threads for s in own if s.batch == batch} == {1, 2, 4, 6}
        assert {setup.mappings for setup in own} == {1, 3}
    for engine in COPYING:
        assert {setup.bytes for setup in setups if setup.engine == engine} == set(SIZES)
    touched = {(s.touch, s.bytes) for s in setups if s.touch != "none"}
    assert touched == {(touch, size) for touch in ("read", "copy") for size in SIZES}


def test_a_pvh_dom0_has_a_suite_without_hypercalls():
    engines = [engine for engine in EngineName if engine != "hypercall"]
    setups = plan_suite(engines, 2, copy_pages=10_000).setups()
    assert {setup.engine for setup in setups} == set(engines)


@pytest.mark.parametrize(
    ("pages", "threads"), [(1024, {1, 2, 4, 8, 16, 32}), (64, {1, 2}), (0, {1})]
)
def test_the_threads_that_copy_have_enough_own_pages(pages, threads):
    setups = plan_suite(ALL, 64, copy_pages=pages).setups()
    assert {setup.threads for setup in setups if setup.engine == "copy"} == threads


@pytest.mark.parametrize("complete", [False, True])
def test_the_document_says_whether_the_suite_is_complete(complete):
    plan = SuitePlan(plan_suite(ALL, 2, copy_pages=1024).parts, 1.0, complete=complete)
    made = document.build({**HOST, "noise_ratio": 0.01}, plan.to_json(), results(plan))
    jsonschema.validate(made.to_json(), bench_schema())
    assert made.plan["suite"] == ("complete" if complete else "incomplete")
    assert made.plan["threads"] == [1, 2]


def test_the_text_has_the_width_of_a_mail():
    plan = plan_suite(ALL, 64, copy_pages=1024)
    facts = {
        "noise_ratio": 0.012,
        "numa_nodes": 2,
        "mitigations": "BTI-Thunk: RETPOLINE, SPEC_CTRL: IBRS+ STIBP+ SSBD-, Other: L1D_FLUSH VERW",
        "cpu": "AMD EPYC 9654 96-Core Processor",
    }
    text = suite_text.render(document.build({**HOST, **facts}, plan.to_json(), results(plan)))
    assert max(len(line) for line in text.splitlines()) <= suite_text.WIDTH
    for part in ("Mapping, per page", "Copying, per page", "Scaling over threads", "2 NUMA nodes"):
        assert part in text
    assert "medians of equal measurements differ by 1.2%" in text
    # 1,000 bytes of a copy cost as much as a map and an unmap of 1,300 ns each.
    assert "Mapping is cheaper than copying" in text


def test_instruction_counts_have_no_scaling():
    plan = plan_suite(ALL, 2, copy_pages=1024)
    host = {**HOST, "clock": "instructions"}
    text = suite_text.render(document.build(host, plan.to_json(), results(plan)))
    assert "Scaling" not in text
    assert "instr" in text


def save(path: Path, plan: SuitePlan, **facts: object) -> None:
    made = document.build({**HOST, **facts}, plan.to_json(), results(plan, 3))
    replace_json(made.to_json(), path)


def test_an_interrupted_suite_is_found(tmp_path):
    path, plan = tmp_path / "suite.json", plan_suite(ALL, 2, copy_pages=1024)
    assert partial.find_incomplete(path, plan, HOST) is None
    save(path, plan)
    found = partial.find_incomplete(path, plan, HOST)
    assert [result.case.setup for result in found.results] == [
        setup for setup in plan.setups()[:3] for _ in range(2)
    ]
    assert [each.name for each in tmp_path.iterdir()] == ["suite.json"]


def test_a_complete_suite_and_other_files_are_not_continued(tmp_path):
    path, plan = tmp_path / "suite.json", plan_suite(ALL, 2, copy_pages=1024)
    save(path, SuitePlan(plan.parts, plan.duration_s, complete=True))
    assert partial.find_incomplete(path, plan, HOST) is None
    path.write_text("{")
    assert partial.find_incomplete(path, plan, HOST) is None


@pytest.mark.parametrize(
    ("facts", "duration_s"), [({"boot_id": "another"}, None), ({}, 0.5)], ids=["boot", "options"]
)
def test_a_suite_of_another_boot_or_with_other_options_is_refused(tmp_path, facts, duration_s):
    path, plan = tmp_path / "suite.json", plan_suite(ALL, 2, copy_pages=1024)
    save(path, plan_suite(ALL, 2, copy_pages=1024, duration_s=duration_s), **facts)
    with pytest.raises(UnmetError, match="incomplete suite of another boot") as error:
        partial.find_incomplete(path, plan, HOST)
    assert "--json=FILE" in error.value.remedy


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--suite", "--batch", "1"], "--batch has no effect with --suite"),
        (["--suite", "--samples", "10"], "--samples has no effect with --suite"),
        (["--suite", "--granter", "empty,self"], "--suite has one granter"),
        (["--text", "summary.txt"], "--text has no effect without --suite"),
    ],
)
def test_options_that_a_suite_ignores_are_refused(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["bench", *options])
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())


def test_the_noise_is_the_range_of_the_medians():
    assert relative_spread([100.0, 98.0, 103.0, 101.0, 99.0]) == pytest.approx(0.05)
