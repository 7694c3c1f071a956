"""The tables: what they say of a run, whole in a pipe and on a narrow terminal."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from tests.unit.made_documents import document
from xengt.bench.document import BenchDocument
from xengt.bench.warning import ResultWarning, WarningKind
from xengt.report.quantity import duration, duration_tick, interval, rate, rate_tick
from xengt.report.terminal.bench_table import show
from xengt.report.terminal.console import console_on
from xengt.report.warnings import warning_lines

RUN = document(samples=500)


def shown(made: BenchDocument) -> list[str]:
    """Print a run where there is no terminal."""
    stream = io.StringIO()
    show(made, console_on(stream))
    return stream.getvalue().splitlines()


def test_what_is_common_stands_above_and_what_varies_in_columns() -> None:
    host, common, head, *rows = shown(RUN)
    assert host.startswith(
        "Xen 4.20.3 (release) · PV dom0, Linux 6.12.48+deb13-amd64, 2 vCPUs on 2"
    )
    assert common.startswith("granter empty · granters 1 · references 256 · mappings 1")
    figures = ["floor", "min", "p50", "p90", "p99", "p99.9", "max", "throughput", "outliers"]
    assert head.split() == ["#", "engine", "operation", "batch", "threads", *figures]
    assert len([line for line in rows if "hypercall" in line or "gntdev" in line]) == 24


def test_a_row_holds_the_figures_of_its_result() -> None:
    result = RUN.results[0]
    row = shown(RUN)[3]
    latency = result.latency_ns
    for time in (result.floor_ns, latency.min, latency.p50, latency.p99_9, latency.max):
        assert time is not None
        assert duration(time) in row
    assert rate(result.throughput_per_s) in row
    assert f"{result.outliers.count:,} > {duration(result.outliers.above_ns)}" in row


def test_columns_are_aligned_to_the_right() -> None:
    head, *rows = shown(RUN)[2:27]
    end = head.index("p50") + len("p50")
    assert all(row[end - 1] == "s" and row[end] == " " for row in rows)


def test_gntdev_without_a_floor_shows_a_dash() -> None:
    row = next(line for line in shown(RUN) if "gntdev" in line)
    assert row.split()[5] == "-"


def test_a_single_case_keeps_the_operation_and_loses_the_constants() -> None:
    lines = shown(document(engines=("hypercall",), batches=(32,), threads=(1,), samples=50))
    assert lines[1].startswith("hypercall · granter empty · batch 32 · threads 1")
    assert lines[2].split()[:3] == ["#", "operation", "floor"]


def test_brackets_in_a_name_are_only_brackets() -> None:
    lines = shown(document(granters=("guest:[red]a[/red]", "guest:b"), samples=10))
    assert any("guest:[red]a[/red]" in line for line in lines)


def test_no_results_are_said() -> None:
    assert shown(replace(RUN, results=()))[-1] == "no results"


def test_a_narrow_terminal_loses_nothing() -> None:
    stream = io.StringIO()
    show(RUN, Console(file=stream, width=60, force_terminal=True, highlight=False))
    text = stream.getvalue()
    assert "…" not in text
    assert "unmap (asynchronous)" in text
    assert text.count(" > ") >= sum(result.outliers.count > 0 for result in RUN.results)


def test_warnings_of_a_kind_are_one_line_with_its_rows() -> None:
    some = [
        replace(result, warnings=warnings)
        for result, warnings in zip(
            RUN.results,
            [
                (ResultWarning(WarningKind.LONG_TAIL, 12.4),),
                (
                    ResultWarning(WarningKind.LONG_TAIL, 40),
                    ResultWarning(WarningKind.FEW_SAMPLES, 1_000),
                ),
                (),
                (ResultWarning(WarningKind.LONG_TAIL, 1_234),),
                (ResultWarning(WarningKind.TEXT, 0, "a sentence of version 1"),),
            ],
            strict=False,
        )
    ]
    assert warning_lines(some) == [
        (
            "rows 1-2, 4: p99.9 is 12 to 1,234 times the median: find what interrupts the loop "
            "before you trust the tail or the mean"
        ),
        "row 2: 1,000 samples are too few for p99.9: take 10,000 (--samples)",
        "row 5: a sentence of version 1",
    ]


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0.000 ns"),
        (0.5, "0.500 ns"),
        (7.126, "7.13 ns"),
        (96.32, "96.3 ns"),
        (224.4, "224 ns"),
        (999.4, "999 ns"),
        (999.6, "1.00 µs"),
        (12_345, "12.3 µs"),
        (4_500_000, "4.50 ms"),
        (61_000_000_000, "61.0 s"),
    ],
)
def test_durations_have_three_digits_and_a_unit(ns: float, text: str) -> None:
    assert duration(ns) == text


def test_rates_ticks_and_intervals() -> None:
    assert (rate(1_234_567), rate(845_000), rate(12)) == ("1.23 M/s", "845 k/s", "12.0/s")
    assert (duration_tick(500), duration_tick(2_000), duration_tick(0.5)) == (
        "500 ns",
        "2 µs",
        "0.5 ns",
    )
    assert (rate_tick(0), rate_tick(500_000), rate_tick(2_500_000)) == ("0", "500 k", "2.5 M")
    assert (interval(0.81, 0.8234), interval(None, None)) == ("[0.810, 0.823]", "-")
