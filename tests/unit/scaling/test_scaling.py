"""`xengt scaling`: laws of documents whose throughputs follow a known law."""

import json
from pathlib import Path
from random import Random

import jsonschema
import pytest
from typer.testing import CliRunner

from tests.unit.made_documents import HOST
from xengt.bench.case import Setup
from xengt.bench.document import build
from xengt.bench.engines.names import EngineName
from xengt.bench.plan import BenchPlan, with_defaults
from xengt.bench.result import summarise
from xengt.cli import app
from xengt.documents.write import write_json
from xengt.errors import UnmetError
from xengt.report.html import scaling_page
from xengt.report.scaling_text import format_coefficient, format_residual
from xengt.scaling import Coefficient, fit_runs
from xengt.scaling.schema import scaling_schema
from xenlib_cffi.histogram import Histogram

VALIDATOR = jsonschema.Draft202012Validator(
    scaling_schema(), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
)
THREAD_PER_S, CONTENTION, COHERENCY = 800_000.0, 0.08, 0.002
THREADS = (1, 2, 4, 8, 16, 32, 64)


def throughput(threads: int) -> float:
    """Return the throughput of the known law, in operations per second."""
    slowdown = 1 + CONTENTION * (threads - 1) + COHERENCY * threads * (threads - 1)
    return THREAD_PER_S * threads / slowdown


@pytest.fixture
def write_run(tmp_path, monkeypatch):
    """A function that writes a run with the throughputs of the known law, and returns its path."""
    monkeypatch.setattr("os.cpu_count", lambda: 64)

    def write(name: str, threads=THREADS, noise: float = 0.0, rate=(None,), **facts: object) -> str:
        random = Random(name)  # noqa: S311 (noise, not a secret)
        values = {"engine": [EngineName.HYPERCALL], "batch": [1, 32], "threads": threads}
        values["rate"] = rate
        plan = BenchPlan(with_defaults(values), 100, None, 3)
        results = []
        for setup in plan.setups():
            elapsed_s = 100 * setup.batch / throughput(setup.threads)
            elapsed_s *= random.lognormvariate(0, noise)
            for operation in ("map", "unmap"):
                calls = Histogram()
                calls.record(1000, 100)
                case = setup.case(operation)
                results.append(
                    summarise(case, calls, samples=100, elapsed_s=elapsed_s, floor_ns=100)
                )
        path = tmp_path / f"{name}.json"
        facts = {**HOST, "boot_id": name, **facts}
        write_json(build(facts, plan.to_json(), results).to_json(), str(path))
        return str(path)

    return write


def test_a_known_law_is_found_for_each_setup(write_run):
    document = fit_runs([write_run("a")])
    assert [row.setup.batch for row in document.rows] == [1, 32]
    for row in document.rows:
        assert row.law.thread_throughput_per_s.value == pytest.approx(THREAD_PER_S)
        assert row.law.contention.value == pytest.approx(CONTENTION)
        assert row.law.coherency.value == pytest.approx(COHERENCY)
        assert row.law.peak_threads == pytest.approx(((1 - CONTENTION) / COHERENCY) ** 0.5)
        assert list(row.means) == list(THREADS)


def test_runs_with_noise_give_a_law_within_five_percent(write_run):
    document = fit_runs([write_run(f"run {number}", noise=0.02) for number in range(5)])
    law = document.rows[0].law
    assert law.contention.value == pytest.approx(CONTENTION, rel=0.05)
    assert law.coherency.value == pytest.approx(COHERENCY, rel=0.05)
    assert law.contention.low < CONTENTION < law.contention.high
    assert law.coherency.low < COHERENCY < law.coherency.high
    assert law.relative_residual == pytest.approx(0.02, rel=0.3)


def test_two_numbers_of_threads_give_a_contention_only(write_run):
    (row, _) = fit_runs([write_run("a", threads=(1, 2))]).rows
    assert row.law.coherency is None
    # Of two threads, the coherency counts twice.
    assert row.law.contention.value == pytest.approx(CONTENTION + 2 * COHERENCY)
    assert row.law.contention.low is None


def test_a_rate_is_not_a_throughput(write_run):
    with pytest.raises(UnmetError, match="setups with --rate do not count"):
        fit_runs([write_run("a", rate=[1000.0])])


def test_one_number_of_threads_is_refused(write_run):
    with pytest.raises(UnmetError, match="at least one other number of threads") as error:
        fit_runs([write_run("a", threads=(4,))])
    assert "--threads 1,2,4" in error.value.remedy


def test_instruction_counts_have_no_throughput(write_run):
    with pytest.raises(UnmetError, match="counts instructions of one vCPU"):
        fit_runs([write_run("a", clock="instructions")])


def test_the_command_prints_a_table_and_writes_what_is_asked_for(write_run, tmp_path):
    runs = [write_run(name, noise=0.01) for name in "abc"]
    page = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["scaling", *runs, "--html", str(page), "--json"])
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    VALIDATOR.validate(made)
    assert [each["threads"] for each in made["results"][0]["throughputs"]] == list(THREADS)
    assert "64 threads" in done.stderr
    assert page.read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("threads", "facts", "note"),
    [
        ((1, 2), {}, "coherency cannot be fitted"),
        ((1, 2), {}, "too few measurements for confidence intervals"),
        (THREADS, {"emulated": True}, "the CPUs are emulated"),
    ],
)
def test_what_limits_a_law_is_noted(write_run, threads, facts, note):
    done = CliRunner().invoke(app, ["scaling", write_run("a", threads=threads, **facts)])
    assert note in " ".join(done.stdout.split())


def test_a_law_through_all_throughputs_has_no_residual(write_run):
    noisy = fit_runs([write_run("a", noise=0.02)]).rows[0]
    few = fit_runs([write_run("c", threads=(1, 2), noise=0.02)]).rows[0]
    assert format_residual(noisy).endswith(" %")
    assert format_residual(few) == "-"


def test_a_coefficient_without_an_interval():
    assert format_coefficient(Coefficient(0.0312, None, None)) == "0.0312"
    assert format_coefficient(Coefficient(0.0312, 0.03, 0.0324)) == "0.0312 [0.03, 0.0324]"
    assert format_coefficient(None) == "-"


def test_the_page_shows_each_setup(write_run, tmp_path):
    document = fit_runs([write_run("a"), write_run("b")])
    (tmp_path / "scaling.html").write_text(scaling_page.render(document))
    text = Path(tmp_path / "scaling.html").read_text()
    assert text.count("<svg") == 2
    assert "batch 32" in text
    assert Setup(EngineName.HYPERCALL, "empty", 1).granter in text
