"""Comparison of runs: ratios, verdicts, notes, and the command with its `--`."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.unit.made_documents import document
from xengt.cli import app
from xengt.compare import Comparison, Metric, RatioRow, compare_runs
from xengt.documents.write import write_json
from xengt.errors import UnmetError
from xengt.report.html.compare_page import render
from xengt.report.terminal.compare_table import show
from xengt.report.terminal.console import console_on

Runs = Callable[..., list[str]]


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """Write the documents of one side's runs, each from a different boot by default."""

    def write(side: str, count: int, seed: int, **options: Any) -> list[str]:
        paths = []
        for number in range(count):
            made = document(
                **{
                    "seed": seed + number,
                    "engines": ("hypercall",),
                    "batches": (32,),
                    "threads": (1,),
                    "samples": 300,
                    "boot_id": f"{side}-{number}",
                    **options,
                }
            )
            paths.append(str(tmp_path / f"{side}{number}.json"))
            write_json(made.to_json(), paths[-1])
        return paths

    return write


def row(comparison: Comparison, metric: Metric, operation: str) -> RatioRow:
    (found,) = (
        each
        for each in comparison.rows
        if each.metric is metric and each.case.operation == operation
    )
    return found


def test_figures_are_those_of_the_documents(runs: Runs) -> None:
    base, new = runs("base", 5, 1), runs("new", 5, 11, scale=0.8)
    found = compare_runs(base, new)
    held = [json.loads(Path(path).read_text())["results"] for path in new]
    nets = [[each["latency_ns"]["p50"] - each["floor_ns"] for each in run] for run in held]
    assert row(found, Metric.P50, "map").new == tuple(run[0]["latency_ns"]["p50"] for run in held)
    assert row(found, Metric.NET, "unmap").new == tuple(run[1] for run in nets)
    assert row(found, Metric.PAIR, "map + unmap").new == tuple(run[0] + run[1] for run in nets)
    assert row(found, Metric.THROUGHPUT, "map").new == tuple(
        run[0]["throughput_per_s"] for run in held
    )


def test_verdicts_have_the_direction_of_the_change(runs: Runs) -> None:
    base, new = runs("base", 6, 1), runs("new", 6, 11, scale=0.7)
    better, worse = compare_runs(base, new), compare_runs(new, base)
    assert row(better, Metric.P50, "map").verdict.endswith("% faster")
    assert row(worse, Metric.P50, "map").verdict.endswith("% slower")
    assert row(better, Metric.THROUGHPUT, "map").verdict.endswith("% higher")
    assert row(worse, Metric.THROUGHPUT, "map").verdict.endswith("% lower")


def test_runs_of_the_same_distribution_have_no_significant_difference(runs: Runs) -> None:
    base = runs("base", 8, 1)
    new = runs("new", 8, 21)
    found = row(compare_runs(base, new), Metric.PAIR, "map + unmap")
    assert found.ratio is not None
    assert found.ratio.differs is False
    assert found.verdict == "no significant difference"


def test_one_run_per_side_has_a_ratio_and_no_interval(runs: Runs) -> None:
    found = compare_runs(runs("base", 1, 1), runs("new", 1, 2, scale=0.5))
    single = row(found, Metric.P50, "map")
    assert single.ratio is not None
    assert (single.ratio.low, single.ratio.high) == (None, None)
    assert single.verdict.endswith("% faster (no interval: one run on a side)")
    assert any("no confidence interval" in note for note in found.notes)


def test_instruction_counts_need_one_run_and_no_interval(runs: Runs) -> None:
    counted = {"clock": "instructions"}
    found = compare_runs(runs("base", 1, 1, **counted), runs("new", 1, 2, scale=0.5, **counted))
    assert row(found, Metric.P50, "map").verdict.endswith("% fewer instructions")
    assert {each.metric for each in found.rows} == set(Metric) - {Metric.THROUGHPUT}
    assert not any("interval" in note for note in found.notes)


def test_gntdev_has_no_overhead_and_no_net_figure(runs: Runs) -> None:
    found = compare_runs(runs("a", 2, 1, engines=("gntdev",)), runs("b", 2, 3, engines=("gntdev",)))
    assert {each.metric for each in found.rows} == {Metric.P50, Metric.THROUGHPUT}
    with pytest.raises(UnmetError, match="no map/unmap pair"):
        found.pairs  # noqa: B018 (it raises)


@pytest.mark.parametrize(
    ("base", "new", "expected"),
    [
        ({"count": 3}, {"count": 5}, "3 base runs and 5 new runs give wide confidence intervals"),
        (
            {"count": 6},
            {"count": 7},
            "6 base runs and 7 new runs: with unequal numbers the confidence intervals",
        ),
        (
            {"boot_id": "same"},
            {},
            "6 of the base runs are from the same boot (same) and are not independent",
        ),
        ({"boot_id": "x"}, {"boot_id": "x"}, "base and new have runs from the same boot (x)"),
        (
            {},
            {"xen_commandline": "gnttab=fast-maptrack"},
            'xen_commandline differs: base "placeholder',
        ),
        ({"xen_version": "4.17.7"}, {}, 'xen_version differs: base "4.17.7", new "4.20.3"'),
        (
            {"maptrack": "no-fast"},
            {"maptrack": "fast"},
            'maptrack differs: base "no-fast", new "fast"',
        ),
        ({}, {"numa_nodes": 2}, "numa_nodes differs: base null, new 2"),
        ({"samples": 200}, {}, "samples differs: base 200, new 300"),
    ],
)
def test_a_limitation_of_the_comparison_is_noted(
    runs: Runs, base: dict[str, Any], new: dict[str, Any], expected: str
) -> None:
    found = compare_runs(
        runs("base", **{"count": 6, "seed": 1, **base}),
        runs("new", **{"count": 6, "seed": 9, **new}),
    )
    assert any(expected in note for note in found.notes), found.notes


def test_titles_of_sides_contain_their_maptracks(runs: Runs, capsys: Any) -> None:
    found = compare_runs(
        [*runs("base", 2, 1), *runs("odd", 1, 7, maptrack="unknown")],
        [*runs("new", 1, 3, maptrack="fast"), *runs("off", 1, 5, maptrack="no-fast")],
    )
    show(found, console_on(sys.stdout))
    base, new = capsys.readouterr().out.splitlines()[:2]
    assert base.startswith("base, stock maptrack: ")
    assert new.startswith("new, fast maptrack, fast maptrack off: ")
    page = render(found)
    assert "<h2>Base, stock maptrack: 3 runs</h2>" in page
    assert "<dt>Maptrack</dt><dd>stock</dd>" in page


def test_documents_without_a_maptrack_are_compared(runs: Runs, capsys: Any) -> None:
    base, new = runs("base", 1, 1), runs("new", 1, 3, maptrack="fast")
    older = json.loads(Path(base[0]).read_text())
    del older["host"]["maptrack"]
    Path(base[0]).write_text(json.dumps(older))
    found = compare_runs(base, new)
    show(found, console_on(sys.stdout))
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert first.startswith("base: ")
    assert second.startswith("new, fast maptrack: ")
    assert 'maptrack differs: base null, new "fast"' in found.notes
    assert "<h2>Base: 1 run</h2>" in render(found)


def test_equal_plans_in_five_boots_per_side_have_no_note(runs: Runs) -> None:
    assert compare_runs(runs("base", 5, 1), runs("new", 5, 9)).notes == ()


def test_differences_within_a_side_are_noted(runs: Runs) -> None:
    base = [*runs("base", 5, 1), *runs("odd", 1, 8, kernel="6.1.0", batches=(1, 32))]
    notes = compare_runs(base, runs("new", 5, 9)).notes
    assert any(note.startswith("kernel differs among the base runs: ") for note in notes)
    assert any(
        note.startswith("only 1 of 6 base runs measured the case hypercall · map") for note in notes
    )


def test_cases_on_one_side_only_are_listed(runs: Runs) -> None:
    found = compare_runs(runs("base", 2, 1, batches=(1, 32)), runs("new", 2, 3, batches=(32, 64)))
    assert [case.batch for case in found.only_base] == [1, 1]
    assert [case.batch for case in found.only_new] == [64, 64]
    assert "only in base: map · batch 1" in found.unmatched
    assert {each.case.batch for each in found.rows} == {32}


def test_sides_without_a_common_case_are_an_error(runs: Runs) -> None:
    with pytest.raises(UnmetError, match="no case in common"):
        compare_runs(runs("base", 1, 1, batches=(1,)), runs("new", 1, 1, batches=(32,)))


def test_the_same_case_twice_in_a_run_is_an_error(runs: Runs) -> None:
    twice = runs("base", 1, 1, batches=(32, 32))
    with pytest.raises(UnmetError, match="contains the same case twice"):
        compare_runs(twice, runs("new", 1, 2))


def test_ten_runs_per_side_of_fifty_cases_take_less_than_20_seconds(runs: Runs) -> None:
    many = {"batches": tuple(range(1, 26)), "samples": 5}
    base, new = runs("base", 10, 1, **many), runs("new", 10, 50, **many)
    started = time.process_time()
    assert len(compare_runs(base, new).rows) == 25 * 2 * 3 + 25
    assert time.process_time() - started < 20


def entry(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a process, so that `--` comes from a real command line."""
    return subprocess.run(
        [sys.executable, "-m", "xengt", "compare", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_options_are_accepted_on_both_sides_of_the_separator(runs: Runs, tmp_path: Path) -> None:
    base, new = runs("base", 2, 1), runs("new", 3, 5)
    target = str(tmp_path / "out.json")
    for arguments in (
        (f"--json={target}", *base, "--", *new),
        (*base, "--", *new, f"--json={target}"),
        (*base, f"--json={target}", "--", *new),
    ):
        done = entry(*arguments)
        assert done.returncode == 0, done.stderr
        made = json.loads(Path(target).read_text())
        assert made["schema"] == "xengt.compare/2"
        assert [run["file"] for run in made["base"]] == base
        assert [run["file"] for run in made["new"]] == new
        assert made["results"][0]["metric"] == "net_pair_ns"
        assert made["results"][0]["low"] <= made["results"][0]["ratio"]
        Path(target).unlink()


@pytest.mark.parametrize("arguments", [["{a}", "{b}"], ["{a}", "--", "{b}", "--", "{b}"]])
def test_a_missing_or_second_separator_is_an_error(runs: Runs, arguments: list[str]) -> None:
    (a,), (b,) = runs("base", 1, 1), runs("new", 1, 2)
    done = entry(*(each.format(a=a, b=b) for each in arguments))
    assert done.returncode == 2
    assert "exactly one `--` is required" in done.stderr


@pytest.mark.parametrize(("sides", "empty"), [(["--", "{}"], "base"), (["{}", "--"], "new")])
def test_a_side_without_runs_is_an_error(runs: Runs, sides: list[str], empty: str) -> None:
    (path,) = runs("one", 1, 1)
    done = entry(*(each.format(path) for each in sides))
    assert done.returncode == 2
    assert f"no {empty} runs are given" in done.stderr


def test_a_ratio_above_the_bound_exits_with_1_after_writing_the_document(
    runs: Runs, tmp_path: Path
) -> None:
    base, new = runs("base", 2, 1), runs("new", 2, 5, scale=0.8)
    target = tmp_path / "out.json"
    done = entry(*base, "--", *new, "--at-most", "0.5", f"--json={target}")
    assert done.returncode == 1
    assert "1 map/unmap pair: ratio above the bound of 0.5" in done.stderr
    assert target.exists()
    assert entry(*base, "--", *new, "--at-most", "0.99").returncode == 0


def busy_documents(side: str) -> list[str]:
    """Return one side's runs on a busy machine, where the overhead hides the pair at batch 1."""
    return sorted(map(str, (Path(__file__).parents[1] / "busy_demo").glob(f"{side}-*.json")))


def test_a_figure_below_the_overhead_has_no_ratio() -> None:
    base, new = busy_documents("stock"), busy_documents("patched")
    found = compare_runs(base, new)
    batch_1, batch_32 = found.pairs
    assert (batch_1.case.batch, batch_1.ratio) == (1, None)
    assert batch_1.verdict == "inconclusive: below the measurement overhead"
    assert batch_32.ratio is not None
    assert batch_32.verdict == "no significant difference"
    # A ratio requires both sides to be above the overhead.
    assert [row.ratio is None for row in compare_runs(new, base).pairs] == [True, False]


def test_noisy_runs_have_no_significant_change_and_exceed_the_bound(tmp_path: Path) -> None:
    sides = (*busy_documents("stock"), "--", *busy_documents("patched"))
    html, made = tmp_path / "page.html", tmp_path / "made.json"
    done = entry(*sides, "--at-most", "0.8", "--html", str(html), f"--json={made}")
    assert done.returncode == 1
    assert "1 map/unmap pair: ratio above the bound of 0.8" in done.stderr
    assert "1 map/unmap pair: inconclusive: below the measurement overhead" in done.stderr
    for text in (done.stdout, html.read_text()):
        assert "faster" not in text
        assert "% higher" not in text
    pair = json.loads(made.read_text())["results"][0]
    assert (pair["ratio"], pair["low"], pair["high"], pair["runs_needed"]) == (None,) * 4


def test_an_inconclusive_pair_exits_with_1_although_all_ratios_are_within_the_bound() -> None:
    done = entry(*busy_documents("stock"), "--", *busy_documents("patched"), "--at-most", "5")
    assert done.returncode == 1
    assert "above the bound" not in done.stderr
    assert "1 map/unmap pair: inconclusive" in done.stderr


def test_a_row_without_a_ratio_has_no_mark_and_does_not_extend_the_axis() -> None:
    page = render(compare_runs(busy_documents("stock"), busy_documents("patched")))
    pairs = page.split('<div class="rows">')[1]
    axis, batch_1, batch_32 = pairs.split('<div class="row">')[1:]
    assert "inconclusive: below the measurement overhead" in batch_1
    assert "<circle" not in batch_1
    assert "<circle" in batch_32
    ticks = [float(tick) for tick in re.findall(r'class="tick x-label"[^>]*>([^<]*)<', axis)]
    assert min(ticks) >= 0
    assert 1 < max(ticks) <= 2  # not -0.542, the quotient of the means of batch 1


def test_a_bound_prints_the_number_of_runs_needed(runs: Runs, tmp_path: Path) -> None:
    base, new = runs("base", 3, 1), runs("new", 3, 5, scale=0.8)
    target = tmp_path / "out.json"
    done = entry(*base, "--", *new, "--at-most", "0.9", f"--json={target}")
    needed = json.loads(target.read_text())["results"][0]["runs_needed"]
    assert (
        f"map/unmap pair: {needed} runs on each side are needed to detect a ratio of 0.9"
        in done.stdout
    )
    assert "needed" not in entry(*base, "--", *new).stdout


def test_json_on_standard_output_moves_the_table_to_standard_error(runs: Runs) -> None:
    done = entry(*runs("base", 1, 1), "--", *runs("new", 1, 5), "--json")
    assert json.loads(done.stdout)["schema"] == "xengt.compare/2"
    assert "ratios are new/base" in done.stderr


def test_a_document_of_another_schema_is_an_error(runs: Runs, tmp_path: Path) -> None:
    (good,) = runs("base", 1, 1)
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"schema": "xengt.compare/1"}')
    done = CliRunner().invoke(app, ["compare", good, "--", str(wrong)])
    assert done.exit_code == 2
    assert f"xengt: {wrong} is a xengt.compare/1 document" in done.output


def test_a_table_in_a_pipe_is_not_truncated(runs: Runs) -> None:
    done = entry(*runs("base", 5, 1), "--", *runs("new", 5, 9, scale=0.7))
    line = next(line for line in done.stdout.splitlines() if "map/unmap" in line)
    assert line == "median latency of a map/unmap pair, measurement overhead excluded"
    assert "% faster" in done.stdout
    assert "…" not in done.stdout
