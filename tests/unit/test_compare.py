"""Comparing runs: the ratios, how sure they are, and the command with its `--`."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from made_documents import document
from typer.testing import CliRunner

from xengt.cli import app
from xengt.compare import Comparison, Metric, Row, bootstrap, compare
from xengt.compare.bootstrap import ratio
from xengt.document import write_json
from xengt.errors import UnmetError
from xengt.report.compare_page import render
from xengt.report.compare_table import show
from xengt.report.table import console_on

Runs = Callable[..., list[str]]


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """Write runs of one side, each of a boot of its own unless told otherwise."""

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


def row(comparison: Comparison, metric: Metric, operation: str) -> Row:
    (found,) = (
        each
        for each in comparison.rows
        if each.metric is metric and each.case.operation == operation
    )
    return found


def test_an_interval_holds_the_true_ratio_about_as_often_as_it_says() -> None:
    random = Random(3)  # noqa: S311 (samples, not secrets)
    held = 0
    for _ in range(60):
        base = [random.gauss(100, 3) for _ in range(12)]
        new = [random.gauss(90, 3) for _ in range(12)]
        found = ratio(base, new)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        assert found.low < found.value < found.high
        held += found.low <= 0.9 <= found.high
    assert 50 <= held <= 60


def test_an_interval_is_the_same_every_time_and_ignores_the_order_of_magnitude() -> None:
    base, new = [100, 101, 99, 103, 98], [90, 92, 91, 89, 93]
    found = ratio(base, new)
    bootstrap._draws.cache_clear()  # as in another process
    assert ratio(base, new) == found
    assert found is not None
    assert found.value == pytest.approx(91 / 100.2)
    scaled = ratio([each * 1000 for each in base], [each * 1000 for each in new])
    assert scaled is not None
    assert scaled.low == pytest.approx(found.low)


def test_sides_of_unlike_length_are_means_not_sums() -> None:
    found = ratio([100.0] * 3, [50.0] * 7)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    assert found.differs is True


def test_a_base_at_its_floor_has_no_ratio() -> None:
    assert ratio([0.0, 0.0], [1.0, 1.0]) is None
    assert ratio([-1.0, 10.0], [1.0, 1.0]) is None  # some resamples of it are not above 0


def test_every_figure_is_what_the_documents_say(runs: Runs) -> None:
    base, new = runs("base", 5, 1), runs("new", 5, 11, scale=0.8)
    found = compare(base, new)
    held = [json.loads(Path(path).read_text())["results"] for path in new]
    nets = [[each["latency_ns"]["p50"] - each["floor_ns"] for each in run] for run in held]
    assert row(found, Metric.P50, "map").new == tuple(run[0]["latency_ns"]["p50"] for run in held)
    assert row(found, Metric.NET, "unmap").new == tuple(run[1] for run in nets)
    assert row(found, Metric.PAIR, "map + unmap").new == tuple(run[0] + run[1] for run in nets)
    assert row(found, Metric.THROUGHPUT, "map").new == tuple(
        run[0]["throughput_per_s"] for run in held
    )


def test_faster_and_more_are_told_apart_from_slower_and_less(runs: Runs) -> None:
    base, new = runs("base", 6, 1), runs("new", 6, 11, scale=0.7)
    there, back = compare(base, new), compare(new, base)
    assert row(there, Metric.P50, "map").verdict.endswith("% faster")
    assert row(back, Metric.P50, "map").verdict.endswith("% slower")
    assert row(there, Metric.THROUGHPUT, "map").verdict.endswith("% more")
    assert row(back, Metric.THROUGHPUT, "map").verdict.endswith("% less")


def test_no_difference_is_shown_between_runs_of_the_same(runs: Runs) -> None:
    base = runs("base", 8, 1)
    new = runs("new", 8, 21)
    found = row(compare(base, new), Metric.PAIR, "map + unmap")
    assert found.ratio is not None
    assert found.ratio.differs is False
    assert found.verdict == "no difference shown"


def test_one_run_a_side_has_a_ratio_and_no_interval(runs: Runs) -> None:
    found = compare(runs("base", 1, 1), runs("new", 1, 2, scale=0.5))
    single = row(found, Metric.P50, "map")
    assert single.ratio is not None
    assert (single.ratio.low, single.ratio.high) == (None, None)
    assert single.verdict.endswith("% faster, one run on a side")
    assert any("no interval" in note for note in found.notes)


def test_gntdev_has_no_floor_and_so_no_net_figure(runs: Runs) -> None:
    found = compare(runs("a", 2, 1, engines=("gntdev",)), runs("b", 2, 3, engines=("gntdev",)))
    assert {each.metric for each in found.rows} == {Metric.P50, Metric.THROUGHPUT}
    with pytest.raises(UnmetError, match="no map \\+ unmap pair"):
        found.pairs_above(0.8)


@pytest.mark.parametrize(
    ("base", "new", "says"),
    [
        ({"count": 3}, {"count": 5}, "rest on 3 and 5 runs and are rough"),
        ({"boot_id": "same"}, {}, "6 of the base runs are of one boot (same) and not independent"),
        ({"boot_id": "x"}, {"boot_id": "x"}, "both sides have runs of one boot (x)"),
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
def test_what_limits_a_comparison_is_told(
    runs: Runs, base: dict[str, Any], new: dict[str, Any], says: str
) -> None:
    found = compare(
        runs("base", **{"count": 6, "seed": 1, **base}),
        runs("new", **{"count": 6, "seed": 9, **new}),
    )
    assert any(says in note for note in found.notes), found.notes


def test_the_sides_are_named_by_their_maptrack(runs: Runs, capsys: Any) -> None:
    found = compare(
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


def test_runs_of_before_fast_entries_compare_and_name_no_maptrack(runs: Runs, capsys: Any) -> None:
    base, new = runs("base", 1, 1), runs("new", 1, 3, maptrack="fast")
    older = json.loads(Path(base[0]).read_text())
    del older["host"]["maptrack"]
    Path(base[0]).write_text(json.dumps(older))
    found = compare(base, new)
    show(found, console_on(sys.stdout))
    first, second = capsys.readouterr().out.splitlines()[:2]
    assert first.startswith("base: ")
    assert second.startswith("new, fast maptrack: ")
    assert 'maptrack differs: base null, new "fast"' in found.notes
    assert "<h2>Base: 1 run</h2>" in render(found)


def test_like_runs_of_five_boots_a_side_need_no_note(runs: Runs) -> None:
    assert compare(runs("base", 5, 1), runs("new", 5, 9)).notes == ()


def test_unlike_runs_within_a_side_are_told(runs: Runs) -> None:
    base = [*runs("base", 5, 1), *runs("odd", 1, 8, kernel="6.1.0", batches=(1, 32))]
    notes = compare(base, runs("new", 5, 9)).notes
    assert any(note.startswith("kernel differs among the base runs: ") for note in notes)
    assert any(note.startswith("only 1 of the 6 base runs have hypercall · map") for note in notes)


def test_cases_of_one_side_only_are_listed(runs: Runs) -> None:
    found = compare(runs("base", 2, 1, batches=(1, 32)), runs("new", 2, 3, batches=(32, 64)))
    assert [case.batch for case in found.only_base] == [1, 1]
    assert [case.batch for case in found.only_new] == [64, 64]
    assert "only base: map · batch 1" in found.unmatched
    assert {each.case.batch for each in found.rows} == {32}


def test_nothing_in_common_is_an_error(runs: Runs) -> None:
    with pytest.raises(UnmetError, match="no case in common"):
        compare(runs("base", 1, 1, batches=(1,)), runs("new", 1, 1, batches=(32,)))


def test_the_same_case_twice_in_a_run_is_an_error(runs: Runs) -> None:
    twice = runs("base", 1, 1, batches=(32, 32))
    with pytest.raises(UnmetError, match="holds the same case twice"):
        compare(twice, runs("new", 1, 2))


def test_ten_runs_a_side_of_fifty_cases_take_seconds(runs: Runs) -> None:
    many = {"batches": tuple(range(1, 26)), "samples": 5}
    base, new = runs("base", 10, 1, **many), runs("new", 10, 50, **many)
    started = time.process_time()
    assert len(compare(base, new).rows) == 25 * 2 * 3 + 25
    assert time.process_time() - started < 20


def entry(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a process: only there does `--` come from a real command line."""
    return subprocess.run(
        [sys.executable, "-m", "xengt", "compare", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_separator_parts_the_sides_wherever_the_options_stand(
    runs: Runs, tmp_path: Path
) -> None:
    base, new = runs("base", 2, 1), runs("new", 3, 5)
    target = str(tmp_path / "out.json")
    for arguments in (
        ("--json", target, *base, "--", *new),
        (*base, "--", *new, "--json", target),
        (*base, "--json", target, "--", *new),
    ):
        done = entry(*arguments)
        assert done.returncode == 0, done.stderr
        made = json.loads(Path(target).read_text())
        assert made["schema"] == "xengt.compare/1"
        assert [run["file"] for run in made["base"]] == base
        assert [run["file"] for run in made["new"]] == new
        assert made["results"][0]["metric"] == "net_pair_ns"
        assert made["results"][0]["low"] <= made["results"][0]["ratio"]
        Path(target).unlink()


@pytest.mark.parametrize("arguments", [["{a}", "{b}"], ["{a}", "--", "{b}", "--", "{b}"]])
def test_without_exactly_one_separator_nothing_is_guessed(runs: Runs, arguments: list[str]) -> None:
    (a,), (b,) = runs("base", 1, 1), runs("new", 1, 2)
    done = entry(*(each.format(a=a, b=b) for each in arguments))
    assert done.returncode == 2
    assert "need one `--` between them" in done.stderr


@pytest.mark.parametrize(("sides", "empty"), [(["--", "{}"], "base"), (["{}", "--"], "new")])
def test_a_side_without_runs_is_named(runs: Runs, sides: list[str], empty: str) -> None:
    (path,) = runs("one", 1, 1)
    done = entry(*(each.format(path) for each in sides))
    assert done.returncode == 2
    assert f"no {empty} run was named" in done.stderr


def test_a_bound_that_is_passed_ends_with_1_and_is_written_all_the_same(
    runs: Runs, tmp_path: Path
) -> None:
    base, new = runs("base", 2, 1), runs("new", 2, 5, scale=0.8)
    target = tmp_path / "out.json"
    done = entry(*base, "--", *new, "--at-most", "0.5", "--json", str(target))
    assert done.returncode == 1
    assert "1 map + unmap pair above the ratio 0.5 asked for" in done.stderr
    assert target.exists()
    assert entry(*base, "--", *new, "--at-most", "0.99").returncode == 0


def test_json_on_standard_output_is_nothing_but_json(runs: Runs) -> None:
    done = entry(*runs("base", 1, 1), "--", *runs("new", 1, 5), "--json", "-")
    assert json.loads(done.stdout)["schema"] == "xengt.compare/1"
    assert "Ratios are new/base" in done.stderr


def test_a_document_of_another_schema_is_named(runs: Runs, tmp_path: Path) -> None:
    (good,) = runs("base", 1, 1)
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"schema": "xengt.compare/1"}')
    done = CliRunner().invoke(app, ["compare", good, "--", str(wrong)])
    assert done.exit_code == 2
    assert f"xengt: {wrong} is a xengt.compare/1 document" in done.output


def test_a_table_in_a_pipe_is_whole(runs: Runs) -> None:
    done = entry(*runs("base", 5, 1), "--", *runs("new", 5, 9, scale=0.7))
    line = next(line for line in done.stdout.splitlines() if line.startswith("map + unmap"))
    assert line == "map + unmap, median net of the floor, per operation"
    assert "% faster" in done.stdout
    assert "…" not in done.stdout
