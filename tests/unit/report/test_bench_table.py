"""The table of a run, in a pipe and on a narrow terminal, and the format of its figures."""

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


def table_lines(made: BenchDocument) -> list[str]:
    """Return the lines that are printed for a run without a terminal."""
    stream = io.StringIO()
    show(made, console_on(stream))
    return stream.getvalue().splitlines()


def test_dimensions_that_vary_are_columns_and_the_others_a_line() -> None:
    host, common, head, *rows = table_lines(RUN)
    assert host.startswith(
        "Xen 4.20.3 (release) · PV dom0, Linux 6.12.48+deb13-amd64, 2 vCPUs on 2"
    )
    assert common.startswith("granter empty · granters 1 · references 256 · mappings 1")
    figures = ["overhead", "min", "p50", "p90", "p99", "p99.9", "max", "throughput", "outliers"]
    assert head.split() == ["#", "engine", "operation", "batch", "threads", *figures]
    assert len([line for line in rows if "hypercall" in line or "gntdev" in line]) == 24


def test_a_row_has_the_figures_of_its_result() -> None:
    result = RUN.results[0]
    row = table_lines(RUN)[3]
    latency = result.latency_ns
    for ns in (result.floor_ns, latency.min, latency.p50, latency.p99_9, latency.max):
        assert ns is not None
        assert duration(ns) in row
    assert rate(result.throughput_per_s) in row
    assert f"{result.outliers.count:,} > {duration(result.outliers.above_ns)}" in row


def test_columns_are_right_aligned() -> None:
    head, *rows = table_lines(RUN)[2:27]
    end = head.index("p50") + len("p50")
    assert all(row[end - 1] == "s" and row[end] == " " for row in rows)


def test_gntdev_has_a_dash_for_its_overhead() -> None:
    row = next(line for line in table_lines(RUN) if "gntdev" in line)
    assert row.split()[5] == "-"


def test_a_single_case_has_one_column_of_dimensions() -> None:
    lines = table_lines(document(engines=("hypercall",), batches=(32,), threads=(1,), samples=50))
    assert lines[1].startswith("hypercall · granter empty · batch 32 · threads 1")
    assert lines[2].split()[:3] == ["#", "operation", "overhead"]


def test_brackets_in_a_name_are_not_markup() -> None:
    lines = table_lines(document(granters=("guest:[red]a[/red]", "guest:b"), samples=10))
    assert any("guest:[red]a[/red]" in line for line in lines)


def test_a_run_without_results_prints_no_results() -> None:
    assert table_lines(replace(RUN, results=()))[-1] == "no results"


def test_a_narrow_terminal_truncates_nothing() -> None:
    stream = io.StringIO()
    show(RUN, Console(file=stream, width=60, force_terminal=True, highlight=False))
    text = stream.getvalue()
    assert "…" not in text
    assert "unmap (asynchronous)" in text
    assert text.count(" > ") >= sum(result.outliers.count > 0 for result in RUN.results)


def test_warnings_of_one_kind_are_one_line_with_their_rows() -> None:
    results = [
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
    assert warning_lines(results) == [
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
def test_a_duration_has_three_digits_and_a_unit(ns: float, text: str) -> None:
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
