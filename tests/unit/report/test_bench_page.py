"""The pages in a real browser: no errors, no external resources, no empty or overflowing chart."""

import re
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import tostring

import pytest

from tests.unit.bench.simulated_suite import results
from tests.unit.break_even.simulated_runs import write_run
from tests.unit.browser import needs_chromium, render_in_browser
from tests.unit.made_documents import HOST, document
from xengt.bench.document import build
from xengt.bench.engines.names import EngineName
from xengt.bench.suite import plan_suite
from xengt.break_even import compare_alternatives
from xengt.compare import compare_runs
from xengt.documents.write import write_json, write_text
from xengt.report.elements import el
from xengt.report.html import bench_page, break_even_page, compare_page
from xengt.report.svg.scale import Scale, linear_ticks, log_range, log_ticks

HOSTILE = '</dd><script>document.title="owned"</script><img src=x> & "quoted" \ud800'
BENCHES = {
    "two engines": document(samples=500),
    "one case": document(batches=(32,), threads=(1,), samples=300),
    "ten batches": document(
        engines=("hypercall",),
        granters=("empty", "guest:web"),
        batches=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
        threads=(1,),
        samples=100,
    ),
    "one sample": document(engines=("hypercall",), batches=(1,), threads=(1,), samples=1),
    "hostile": document(samples=20, granters=(HOSTILE,), xen_commandline=HOSTILE, cpu=HOSTILE),
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return a page of each kind."""
    directory = tmp_path_factory.mktemp("runs")
    plan = plan_suite(list(EngineName), vcpus=1, copy_pages=64)
    suite = build(HOST, plan.to_json(), results(plan))
    files: dict[str, list[str]] = {"base": [], "new": []}
    for side, seed, scale in (("base", 1, 1.0), ("new", 11, 0.8)):
        for number in range(3):
            made = document(seed=seed + number, samples=50, scale=scale, boot_id=f"{side}{number}")
            files[side].append(str(directory / f"{side}{number}.json"))
            write_json(made.to_json(), files[side][-1])
    return {
        **{name: bench_page.render(made) for name, made in BENCHES.items()},
        "comparison": compare_page.render(compare_runs(files["base"], files["new"])),
        "suite": bench_page.render(suite),
        "break-even": break_even_page.render(
            compare_alternatives(
                [write_run(directory / f"{seed}.json", seed=seed) for seed in (1, 2)]
            )
        ),
        "one run a side": compare_page.render(compare_runs(files["base"][:1], files["new"][:1])),
        "the same run": compare_page.render(compare_runs(files["base"][:1], files["base"][:1])),
    }


NAMES = [*BENCHES, "comparison", "suite", "break-even", "one run a side", "the same run"]


@needs_chromium
@pytest.mark.parametrize("name", NAMES)
def test_a_browser_reports_no_error_and_no_empty_chart(
    pages: dict[str, str], name: str, tmp_path: Path
) -> None:
    rendering = render_in_browser(pages[name].encode("utf-8", "replace").decode(), tmp_path)
    assert rendering.console == []
    assert rendering.probe["loaded"] == []
    assert rendering.probe["charts"]
    for chart in rendering.probe["charts"]:
        assert chart["labelled"], chart["title"]
        assert min(chart["size"]) > 10, chart
        assert chart["marks"], chart["title"]
        for mark in chart["marks"]:
            assert mark["painted"], chart["title"]
            assert max(mark["size"]) > 0 or mark["tag"] == "line", (chart["title"], mark)
        # A path of a single point is empty: then the dots are visible.
        assert max(max(mark["size"]) for mark in chart["marks"]) > 4, chart["title"]
        assert chart["overflowing"] == [], chart["title"]
    assert len(set(rendering.probe["ids"])) == len(rendering.probe["ids"])


@needs_chromium
@pytest.mark.parametrize("name", ["two engines", "comparison"])
def test_a_narrow_screen_does_not_scroll_horizontally(
    pages: dict[str, str], name: str, tmp_path: Path
) -> None:
    # The window of headless Chromium is at least 500 pixels wide, which is still one column.
    probe = render_in_browser(pages[name], tmp_path, width=500).probe
    assert probe["overflow_width"] <= 0


def luminance(colour: str) -> float:
    """Return the relative luminance of an rgb() colour as defined by WCAG."""
    parts = [int(each) / 255 for each in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@needs_chromium
@pytest.mark.parametrize("dark", [False, True])
def test_both_colour_schemes_have_sufficient_contrast(
    pages: dict[str, str], dark: bool, tmp_path: Path
) -> None:
    probe = render_in_browser(pages["one case"], tmp_path, dark=dark).probe
    paper, ink = luminance(probe["paper"]), luminance(probe["ink"])
    assert (paper < ink) is dark
    assert (max(paper, ink) + 0.05) / (min(paper, ink) + 0.05) >= 7


@needs_chromium
def test_markup_in_host_facts_is_text(pages: dict[str, str], tmp_path: Path) -> None:
    page = pages["hostile"].encode("utf-8", "replace").decode()
    probe = render_in_browser(page, tmp_path).probe
    assert probe["title"].startswith("Grant operations on Xen")
    assert '</dd><script>document.title="owned"</script>' in probe["text"]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_self_contained(pages: dict[str, str], name: str) -> None:
    text = pages[name]
    assert not re.search(r"<script|<iframe|<object|@import|url\(|<img", text)
    assert re.findall(r'(?:src|href)="([^"]*)"', text) == ["data:,"]


def test_a_page_has_the_figures_and_warnings_of_its_run(pages: dict[str, str]) -> None:
    made = BENCHES["two engines"]
    text = pages["two engines"]
    assert made.host["boot_id"] in text
    assert text.count('<th scope="row">') == len(made.results)
    assert "rows 1-24: 500 samples are too few for p99 and p99.9" in text


def test_equal_curves_of_both_operations_are_drawn_once(pages: dict[str, str]) -> None:
    made = BENCHES["two engines"]
    assert pages["two engines"].count(">both</text>") == 10
    different = replace(
        made,
        results=tuple(
            replace(result, throughput_per_s=result.throughput_per_s * (1 + number % 2))
            for number, result in enumerate(made.results)
        ),
    )
    assert ">both</text>" not in bench_page.render(different)


def test_text_and_attributes_are_escaped() -> None:
    made = el("p", "a < b", el("b", "&"), "</p>", title='"<', data_x=1.5, lang=None)
    assert tostring(made, encoding="unicode", method="html") == (
        '<p title="&quot;<" data-x="1.5">a &lt; b<b>&amp;</b>&lt;/p&gt;</p>'
    )


def test_a_page_with_invalid_utf_8_is_written(tmp_path: Path) -> None:
    write_text(bench_page.render(BENCHES["hostile"]), str(tmp_path / "run.html"))
    assert "&lt;img src=x&gt;" in (tmp_path / "run.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0, 2.6e6), (0, 999), (0.82, 1.003), (0.9999, 1.0001), (0, 7)]
)
def test_linear_ticks_are_round_and_enclose_the_range(low: float, high: float) -> None:
    ticks = linear_ticks(low, high)
    assert ticks[0] <= low + 1e-12
    assert ticks[-1] >= high - 1e-12
    assert 3 <= len(ticks) <= 7
    step = ticks[1] - ticks[0]
    assert f"{step:.0e}"[0] in "125" or f"{step:.1e}"[:3] == "2.5"


@pytest.mark.parametrize(("low", "high"), [(224, 812), (600, 200_000), (17, 3e9), (5, 5)])
def test_log_ticks_lie_within_a_range_that_contains_all_values(low: float, high: float) -> None:
    start, end = log_range([low, high])
    assert start <= low <= high <= end
    assert start < end
    ticks = log_ticks(start, end)
    assert 2 <= len(ticks) <= 10
    assert start <= min(ticks) <= max(ticks) <= end


def test_a_logarithmic_scale_puts_equal_ratios_at_equal_distances() -> None:
    log = Scale(1, 100, 0, 10, log=True)
    assert (log(1), log(10), log(100)) == pytest.approx((0, 5, 10))
    linear = Scale(0, 4, 200, 100)
    assert (linear(0), linear(1), linear(9)) == (200, 175, 100)


@pytest.mark.parametrize(("unmap_overhead", "lines"), [(200.0, 1), (390.0, 2)])
def test_distinct_overheads_are_separate_lines(unmap_overhead, lines):
    made = document(engines=("hypercall",), batches=(32,), threads=(1,), samples=50)
    results = [
        replace(result, floor_ns=unmap_overhead if result.case.operation == "unmap" else 190.0)
        for result in made.results
    ]
    text = bench_page.render(replace(made, results=tuple(results)))
    assert text.count('class="reference') - text.count('class="reference-label') == lines
    assert ("overhead 390 ns" in text) == (lines == 2)
