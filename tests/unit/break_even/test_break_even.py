"""The break-even of mapping and copying, from costs that are known."""

import json
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from tests.unit.break_even.simulated_runs import SIZES, write_run
from xengt.bench.case import Setup
from xengt.bench.engines.names import COPYING, EngineName
from xengt.break_even import (
    BreakEvenDocument,
    BreakEvenRow,
    Crossing,
    SizeCosts,
    compare_alternatives,
)
from xengt.break_even.document import ALTERNATIVES
from xengt.break_even.schema import break_even_schema
from xengt.cli import app
from xengt.errors import UnmetError
from xengt.report.break_even_text import format_crossing, format_interval, format_quotient, notes

VALIDATOR = jsonschema.Draft202012Validator(
    break_even_schema(), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
)
SETUP = Setup(EngineName.GNTDEV, "empty", 1)


def row(*sizes: tuple[int, list[float], list[float]]) -> BreakEvenRow:
    costs = tuple(SizeCosts(size, tuple(maps), tuple(copies)) for size, maps, copies in sizes)
    return BreakEvenRow(SETUP, EngineName.GNTDEV_COPY, "copy from granter", costs)


@pytest.mark.parametrize(
    ("copies", "expected"),
    [
        ([50, 100, 300], Crossing(1024 / 2 + 64 / 2)),
        ([50, 75, 125], Crossing(2560)),
        ([50, 60, 99], Crossing(None)),
        ([100, 150, 300], Crossing(64, is_smallest=True)),
        ([120, 150, 300], Crossing(64, is_smallest=True)),
        ([50, 60, 100], Crossing(4096)),
        # From noise, or because a touch costs more per byte than a copy.
        ([120, 90, 95], Crossing(None)),
        ([120, 90, 110], Crossing(1024 + 3072 / 2)),
    ],
)
def test_a_break_even_is_interpolated_between_the_measured_sizes(copies, expected):
    mapping = 75.0 if expected.bytes == 544 else 100.0
    sizes = zip((64, 1024, 4096), copies, strict=True)
    found = row(*((size, [mapping], [float(copy)]) for size, copy in sizes))
    assert found.value == expected
    assert found.interval is None


def test_a_touch_makes_the_cost_of_mapping_grow_as_well():
    found = row((64, [100.0], [50.0]), (1024, [110.0], [90.0]), (4096, [140.0], [200.0]))
    assert found.value == Crossing(1024 + 3072 * 20 / 80)


def test_the_interval_is_where_the_interval_of_the_difference_crosses_zero():
    # Differences of the runs: -40, -50, -60 and 40, 50, 60; t(2) of 97.5 % is 4.303.
    runs = row((64, [100.0] * 3, [60.0, 50.0, 40.0]), (1024, [100.0] * 3, [140.0, 150.0, 160.0]))
    half = 4.302653 * 10 / 3**0.5
    low, high = runs.interval
    assert runs.value.bytes == pytest.approx(544)
    assert low.bytes == pytest.approx(64 + 960 * (50 - half) / 100, rel=1e-6)
    assert high.bytes == pytest.approx(64 + 960 * (50 + half) / 100, rel=1e-6)


def test_an_interval_can_be_open_at_both_ends():
    runs = row((64, [100.0] * 2, [60.0, 100.0]), (1024, [100.0] * 2, [90.0, 190.0]))
    assert runs.interval == (Crossing(64, is_smallest=True), Crossing(None))
    assert format_interval(runs) == "[≤ 64, > 1,024]"


@pytest.mark.parametrize(
    ("crossing", "text"),
    [
        (Crossing(None), "> 4,096"),
        (Crossing(64, is_smallest=True), "≤ 64"),
        (Crossing(1e3), "1,000"),
    ],
)
def test_a_break_even_beyond_the_measured_sizes_has_a_sign(crossing, text):
    assert format_crossing(crossing, 4096) == text


def test_a_cost_that_is_not_above_the_overhead_has_no_quotient():
    found = row((64, [100.0], [-1.0]), (512, [100.0], [250.0]))
    assert [format_quotient(found, size) for size in (64, 512, 4096)] == ["-", "2.5", "-"]


def test_a_mapping_that_is_not_above_the_overhead_has_no_break_even():
    """As measured with the patched Xen on two vCPUs, where the rejected unmap flushes TLBs."""
    found = row((64, [-30.0, 5.0], [9.0, 9.0]), (512, [-30.0, 5.0], [10.0, 10.0]))
    assert (found.value, found.interval) == (None, None)
    assert format_crossing(found.value, 512) == format_interval(found) == "-"
    made = found.to_json()
    assert made["break_even_bytes"] is None
    assert not made["is_smallest"]
    assert not made["has_interval"]
    assert made["verdict"].startswith("not determined")
    determined = row((64, [5.0], [9.0]), (512, [5.0], [10.0]))
    documents = [BreakEvenDocument((), rows) for rows in ((determined,), (determined, found))]
    assert ["not determined" in " ".join(notes(each)) for each in documents] == [False, True]


def by_key(document: Any) -> dict[tuple[str, ...], BreakEvenRow]:
    return {
        (each.setup.engine, each.copying, each.operation.split()[1], each.setup.touch): each
        for each in document.rows
    }


def test_known_costs_give_known_break_evens(tmp_path):
    rows = by_key(compare_alternatives([write_run(tmp_path / "run.json")]))
    assert len(rows) == 2 * 2 + 2 * 2 * 2
    # 1,000 ns of a map and an unmap; 500 ns and half a ns per byte of a copy from the granter.
    assert rows["hypercall", "copy", "from", "none"].value.bytes == pytest.approx(1000, rel=0.01)
    assert rows["hypercall", "copy", "to", "none"].value.bytes == pytest.approx(818, rel=0.01)
    # The copy of a mapped page costs 0.1 ns per byte.
    plain = rows["gntdev", "gntdev-copy", "from", "none"].value.bytes
    copied = rows["gntdev", "gntdev-copy", "from", "copy"].value.bytes
    assert plain == pytest.approx(8000 / 4, rel=0.01)
    assert copied == pytest.approx(8000 / 3.9, rel=0.01)
    assert rows["gntdev", "persistent", "from", "none"].value == Crossing(None)


def test_several_runs_give_intervals_that_contain_the_true_value(tmp_path):
    inside = 0
    for experiment in range(20):
        runs = [
            write_run(
                tmp_path / f"{experiment}-{number}.json", seed=5 * experiment + number, noise=0.02
            )
            for number in range(5)
        ]
        found = by_key(compare_alternatives(runs))["hypercall", "copy", "from", "none"]
        low, high = found.interval
        assert high.bytes - low.bytes < 500
        inside += low.bytes <= 1000 <= high.bytes
    assert inside >= 16


def test_every_engine_that_copies_replaces_one_that_maps() -> None:
    assert {copying for each in ALTERNATIVES.values() for copying in each} == set(COPYING)
    assert ALTERNATIVES == {
        "hypercall": ("copy", "persistent"),
        "gntdev": ("gntdev-copy", "persistent"),
        "foreign": (),
    }


def test_cases_that_not_every_run_has_are_left_out(tmp_path):
    runs = [
        write_run(tmp_path / "a.json"),
        write_run(
            tmp_path / "b.json",
            sizes=(64, 4096),
            engines=("hypercall", "copy"),
            touches=("none",),
        ),
    ]
    document = compare_alternatives(runs)
    assert set(by_key(document)) == {
        ("hypercall", "copy", direction, "none") for direction in ("from", "to")
    }
    assert [each.bytes for each in document.rows[0].sizes] == [64, 4096]


@pytest.mark.parametrize("engines", [("hypercall", "gntdev"), ("copy", "persistent")])
def test_runs_without_an_alternative_are_refused(tmp_path, engines):
    run = write_run(tmp_path / "run.json", engines=engines, touches=("none",), sizes=(4096,))
    with pytest.raises(UnmetError, match="no pair of setups that map and copy") as error:
        compare_alternatives([run])
    assert "gntdev-copy" in error.value.remedy


def test_the_command_prints_a_table_and_writes_what_is_asked_for(tmp_path):
    runs = [write_run(tmp_path / f"{number}.json", seed=number, noise=0.01) for number in (1, 2, 3)]
    page = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["break-even", *runs, "--html", str(page), "--json"])
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    VALIDATOR.validate(made)
    assert len(made["results"]) == 12
    assert all(each["has_interval"] for each in made["results"])
    assert {each["bytes"] for each in made["results"][0]["sizes"]} == set(SIZES)
    rows = [line for line in done.stderr.splitlines() if "copy from granter" in line]
    assert len(rows) == 6
    assert "4,096 B" in done.stderr
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_a_document_is_not_overwritten(tmp_path):
    run = write_run(tmp_path / "run.json")
    done = CliRunner().invoke(app, ["break-even", run, "--html", run])
    assert done.exit_code == 2
    assert "would overwrite the run" in done.stderr


@pytest.mark.parametrize(
    ("facts", "note"),
    [
        ({}, "there is only one run"),
        ({"clock": "instructions"}, "the clock counts instructions"),
    ],
)
def test_a_single_run_has_a_note(tmp_path, facts, note):
    done = CliRunner().invoke(app, ["break-even", write_run(tmp_path / "run.json", **facts)])
    assert note in " ".join(done.stdout.split())


def test_runs_of_one_boot_or_of_different_hosts_have_a_note(tmp_path):
    runs = [write_run(tmp_path / f"{cpu}.json", boot_id="same", cpu=cpu) for cpu in ("a", "b")]
    output = " ".join(CliRunner().invoke(app, ["break-even", *runs]).stdout.split())
    assert "from the same boot" in output
    assert "different hosts or hypervisors" in output
