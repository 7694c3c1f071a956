"""The suite: which cases it selects, its document, and how it goes on."""

import re
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from tests.unit.bench.simulated_suite import results
from tests.unit.made_documents import HOST
from xengt.bench import document, partial, suite_run
from xengt.bench.engines.names import COPYING, EngineName
from xengt.bench.noise import relative_spread
from xengt.bench.run import Progress
from xengt.bench.schema import bench_schema
from xengt.bench.suite import SIZES, TOTAL_S, SuitePlan, plan_suite
from xengt.cli import app
from xengt.cli import suite as cli_suite
from xengt.cli.ending import Terminated
from xengt.documents.shape import ShapeError
from xengt.documents.write import replace_json
from xengt.errors import Exit, UnmetError
from xengt.report import suite_text
from xengt.report.html import bench_page

ALL = list(EngineName)


@pytest.fixture(autouse=True)
def many_vcpus(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 64)


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


def test_a_suite_of_dom0s_own_pages_has_no_foreign_mappings():
    for granter in ("empty", "self", "guest", "guest:web"):
        setups = plan_suite(ALL, 4, copy_pages=512, granter=granter).setups()
        assert {setup.granter for setup in setups} == {granter}
        assert ("foreign" in {setup.engine for setup in setups}) == (granter != "self")


def save(path: Path, plan: SuitePlan, **facts: object) -> None:
    made = document.build({**HOST, **facts}, plan.to_json(), results(plan, 3))
    replace_json(made.to_json(), path)


def test_an_interrupted_suite_is_found(tmp_path):
    path, plan = tmp_path / "suite.json.partial", plan_suite(ALL, 2, copy_pages=1024)
    assert partial.find_incomplete(path, plan, HOST) is None
    save(path, plan)
    found = partial.find_incomplete(path, plan, HOST)
    assert [result.case.setup for result in found.results] == [
        setup for setup in plan.setups()[:3] for _ in range(2)
    ]
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    path.write_text("{")
    assert partial.find_incomplete(path, plan, HOST) is None


@pytest.mark.parametrize(
    ("facts", "changed", "message", "remedy"),
    [
        (
            {"boot_id": "another"},
            {},
            "cannot be continued, because results of different boots must not be mixed",
            "",
        ),
        ({}, {"duration_s": 0.5}, "used duration_s 0.5; this command would use ", "--duration"),
        ({}, {"digits": 2}, "used digits 2; this command would use 3", "repeat the command"),
        ({}, {"granter": "self"}, "used granter [self]; this command would use [empty]", "repeat"),
        ({}, {"vcpus": 4}, "used threads [1, 2, 4]; this command would use [1, 2]", "vCPUs"),
        (
            {},
            {"engines": ["hypercall", "gntdev", "foreign"]},
            "used engine [hypercall, gntdev, foreign]; this command would use [hypercall, gntdev, ",
            "xengt check",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_another_suite_is_not_continued(tmp_path, facts, changed, message, remedy):
    path, plan = tmp_path / "suite.json.partial", plan_suite(ALL, 2, copy_pages=1024)
    save(path, plan_suite(**({"engines": ALL, "vcpus": 2, "copy_pages": 1024} | changed)), **facts)
    with pytest.raises(UnmetError, match=re.escape(message)) as error:
        partial.find_incomplete(path, plan, HOST)
    assert str(path) in error.value.what
    assert remedy in error.value.remedy
    assert f"delete {path} to start again" in error.value.remedy
    assert "--json=FILE" in error.value.remedy


def test_another_reason_for_leaving_out_an_engine_does_not_end_the_suite(tmp_path):
    path, plan = tmp_path / "suite.json.partial", plan_suite(ALL[1:], 2, copy_pages=1024)
    save(path, replace(plan, left_out=("engine hypercall: a reason",)))
    plan = replace(plan, left_out=("engine hypercall: the same in other words",))
    assert partial.find_incomplete(path, plan, HOST)


def test_the_reports_show_what_was_not_measured_and_why():
    reason = "engine hypercall: dom0 is PVH, in which Xen rejects the device maps of the <engine>"
    plan = replace(plan_suite(ALL[1:], 2, copy_pages=1024), left_out=(reason, "copy: another"))
    made = document.build(HOST, plan.to_json(), results(plan))
    jsonschema.validate(made.to_json(), bench_schema())
    text = suite_text.render(made)
    assert max(len(line) for line in text.splitlines()) <= 72
    (section,) = (each for each in text.split("\n\n") if each.startswith("Not measured\n"))
    assert " ".join(section.split()) == f"Not measured {reason} copy: another"
    page = bench_page.render(made)
    listed = reason.replace("<", "&lt;").replace(">", "&gt;")
    assert f"<h2>Not measured</h2><ul><li>{listed}</li><li>copy: another</li></ul>" in page
    whole = document.build(HOST, replace(plan, left_out=()).to_json(), results(plan))
    assert "Not measured" not in suite_text.render(whole) + bench_page.render(whole)


def test_reasons_that_are_no_sentences_are_not_a_document():
    plan = plan_suite(ALL, 2, copy_pages=1024)
    with pytest.raises(ShapeError, match=re.escape("plan.left_out[0] is not a string")):
        document.build(HOST, {**plan.to_json(), "left_out": [5]}, [])


def test_the_results_so_far_are_beside_the_document(tmp_path):
    target = tmp_path / "latest.json"
    target.symlink_to(tmp_path / "suite.json")
    assert partial.partial_file(str(target)) == tmp_path / "suite.json.partial"
    assert partial.partial_file("-") is None
    assert partial.partial_file("/dev/null") is None
    save(tmp_path / "suite.json.partial", plan_suite(ALL, 2, copy_pages=1024))
    partial.forget_partial(str(target))
    assert [each.name for each in tmp_path.iterdir()] == ["latest.json"]


@pytest.fixture
def suite(monkeypatch, tmp_path):
    """A function that measures a suite on fakes.

    `fails` has the setups that cannot be measured, `missing` the engines, and `said` the messages.
    """

    def run_plan(plan, _journal, show, *, measured=()):
        run.granters += 1
        try:
            for setup in plan.setups():
                if setup not in measured:
                    show(Progress(0, 1, setup, 0.0))
                    if setup in run.fails:
                        raise UnmetError("no such thing", "add it")
                    run.measured.append(setup)
                    yield [each for each in results(plan) if each.case.setup == setup]
        finally:
            run.granters -= 1

    def run(**options):
        arguments = {"granter": "empty", "duration_s": 0.1, "digits": 3, "file": run.file}
        outputs = {"show": lambda _: None, "say": run.said.append}
        return suite_run.measure_suite(None, **(arguments | outputs | options))

    def require_dom0(engines):
        if run.missing & set(engines):
            raise UnmetError(f"no device of {engines[0]}", "load it")

    run.fails, run.measured, run.file = set(), [], tmp_path / "suite.json.partial"
    run.granters, run.missing, run.said = 0, set(), []
    monkeypatch.setattr(suite_run, "run_plan", run_plan)
    monkeypatch.setattr(suite_run, "gather_host", lambda: dict(HOST))
    monkeypatch.setattr(suite_run, "require_dom0", require_dom0)
    monkeypatch.setattr(suite_run, "measure_noise", lambda *_: 0.2)
    monkeypatch.setattr(suite_run.gntalloc, "page_limit", lambda: 1024)
    return run


def test_a_setup_that_cannot_be_measured_is_left_out(suite):
    plan = plan_suite(ALL, 2, copy_pages=1024, duration_s=0.1)
    suite.fails = {plan.setups()[3], plan.setups()[-1]}
    made = suite()
    assert [setup for setup in plan.setups() if setup not in suite.fails] == suite.measured
    first, last = made.plan["left_out"]
    assert first == (
        "hypercall · batch 32 · threads 1 · mappings 1 · touch none · bytes 4,096: no such thing"
    )
    assert last.endswith("no such thing")
    assert made.plan["suite"] == "complete"
    assert any(each.startswith("the suite leaves out hypercall") for each in suite.said)


def test_an_engine_that_this_dom0_cannot_run_is_left_out_with_the_reason(suite):
    plan = plan_suite(ALL, 2, copy_pages=1024)
    suite.missing = {"gntdev-copy", "persistent"}
    suite.fails = {plan.setups()[0]}
    made = suite()
    assert made.left_out == (
        "engine gntdev-copy: no device of gntdev-copy",
        "engine persistent: no device of persistent",
        "hypercall · batch 1 · threads 1 · mappings 1 · touch none · bytes 4,096: no such thing",
    )
    assert "the suite leaves out the engine persistent: no device of persistent; load it" in (
        suite.said
    )
    # The file of an interrupted suite has them as well.
    assert document.read(str(suite.file)).left_out == made.left_out[:2]


def test_a_granter_that_cannot_be_used_ends_the_suite(suite, monkeypatch):
    def refuse(*_, **__):
        raise UnmetError("no guest", "start one")
        yield

    monkeypatch.setattr(suite_run, "run_plan", refuse)
    with pytest.raises(UnmetError, match="no guest"):
        suite()


def test_an_interrupted_suite_is_continued_after_its_last_setup(suite, monkeypatch):
    def interrupt(value, path):
        replace_json(value, path)
        if len(suite.measured) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(suite_run, "replace_json", interrupt)
    with pytest.raises(KeyboardInterrupt) as interrupted:
        suite()
    # The granter is gone before the journal is closed, while the error still has all frames.
    assert interrupted.tb
    assert suite.granters == 0
    before = list(suite.measured)
    monkeypatch.setattr(suite_run, "replace_json", replace_json)
    made = suite()
    assert len(before) == 5
    assert suite.measured == plan_suite(ALL, 2, copy_pages=1024).setups()
    assert len({result.case for result in made.results}) == len(made.results)
    noisy, going_on = suite.said
    assert noisy.startswith("this host is noisy: the medians of equal measurements differ by 20%")
    assert going_on.startswith(f"continuing the suite: {suite.file} has ")


@pytest.fixture
def command(monkeypatch, tmp_path):
    """Runs `xengt bench --suite`; `command.measure` stands in for the measurement."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli_suite, "require_control_domain", lambda: None)
    monkeypatch.setattr(cli_suite, "clean_journal", nullcontext)
    monkeypatch.setattr(cli_suite, "measure_suite", lambda *_, **options: run.measure(options))

    def measure(_options):
        plan = replace(plan_suite(ALL, 1, copy_pages=64), complete=True)
        return document.build(HOST, plan.to_json(), results(plan))

    def run(*options):
        done = CliRunner().invoke(app, ["bench", "--suite", *options])
        return done.exit_code, " ".join(done.stderr.split())

    run.measure = measure
    return run


NOT_SAVED = "results of the suite are not saved until the end; with --json=FILE, an interrupted"


@pytest.mark.parametrize("options", [[], ["--json"], ["--json=/dev/null"], ["--text", "text"]])
def test_a_suite_without_a_file_warns_that_it_cannot_be_continued(command, options):
    exit_code, messages = command(*options)
    assert exit_code == 0
    assert NOT_SAVED in messages


def test_a_suite_with_a_file_does_not_warn(command):
    assert command("--json=suite.json") == (0, "")
    assert document.read("suite.json").plan["suite"] == "complete"


@pytest.mark.parametrize(
    ("ending", "code"), [(KeyboardInterrupt(), 130), (Terminated(Exit.TERMINATED), 143)]
)
@pytest.mark.parametrize(
    ("options", "has_results", "message"),
    [
        (["--json=suite.json"], True, "suite.json.partial: repeat the same command in the same"),
        (["--json=suite.json"], False, "interrupted before it had any results"),
        ([], False, "interrupted, and its results were not saved"),
    ],
)
def test_an_interrupted_suite_tells_how_to_continue(
    command, ending, code, options, has_results, message
):
    def interrupt(measured):
        if has_results:
            measured["file"].touch()
        raise ending

    command.measure = interrupt
    exit_code, messages = command(*options)
    assert exit_code == code
    assert message in messages


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--suite", "--batch", "1"], "--batch has no effect with --suite"),
        (["--suite", "--samples", "10"], "--samples has no effect with --suite"),
        (["--suite", "--granter", "empty,self"], "--suite accepts only one value"),
        (["--samples", "9", "--duration", "1"], "--samples and --duration cannot be used together"),
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
