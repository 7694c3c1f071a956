"""The pages, in a real browser: nothing empty, nothing spilling, nothing loaded, no errors."""

import re
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import tostring

import pytest

from tests.unit.browser import look, needs_chromium
from tests.unit.made_documents import document
from xengt.compare import compare_runs
from xengt.documents.write import write_json, write_text
from xengt.report.html import bench_page, compare_page
from xengt.report.html.elements import el
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
    """Write every kind of page."""
    where = tmp_path_factory.mktemp("runs")
    files: dict[str, list[str]] = {"base": [], "new": []}
    for side, seed, scale in (("base", 1, 1.0), ("new", 11, 0.8)):
        for number in range(3):
            made = document(seed=seed + number, samples=50, scale=scale, boot_id=f"{side}{number}")
            files[side].append(str(where / f"{side}{number}.json"))
            write_json(made.to_json(), files[side][-1])
    return {
        **{name: bench_page.render(made) for name, made in BENCHES.items()},
        "comparison": compare_page.render(compare_runs(files["base"], files["new"])),
        "one run a side": compare_page.render(compare_runs(files["base"][:1], files["new"][:1])),
        "the same run": compare_page.render(compare_runs(files["base"][:1], files["base"][:1])),
    }


NAMES = [*BENCHES, "comparison", "one run a side", "the same run"]


@needs_chromium
@pytest.mark.parametrize("name", NAMES)
def test_a_browser_finds_no_error_and_no_empty_picture(
    pages: dict[str, str], name: str, tmp_path: Path
) -> None:
    seen = look(pages[name].encode("utf-8", "replace").decode(), tmp_path)
    assert seen.console == []
    assert seen.found["loaded"] == []
    assert seen.found["pictures"]
    for picture in seen.found["pictures"]:
        assert picture["labelled"], picture["title"]
        assert min(picture["size"]) > 10, picture
        assert picture["marks"], picture["title"]
        for mark in picture["marks"]:
            assert mark["painted"], picture["title"]
            assert max(mark["size"]) > 0 or mark["tag"] == "line", (picture["title"], mark)
        # A path alone says nothing when it is one point: then its dots are the picture.
        assert max(max(mark["size"]) for mark in picture["marks"]) > 4, picture["title"]
        assert picture["spilling"] == [], picture["title"]
    assert len(set(seen.found["ids"])) == len(seen.found["ids"])


@needs_chromium
@pytest.mark.parametrize("name", ["two engines", "comparison"])
def test_a_phone_needs_no_sideways_scrolling(
    pages: dict[str, str], name: str, tmp_path: Path
) -> None:
    # Headless Chromium's window is at least 500 wide; still one column.
    assert look(pages[name], tmp_path, width=500).found["wide"] <= 0


def luminance(colour: str) -> float:
    """Return the relative luminance of an rgb() colour, as WCAG defines it."""
    parts = [int(each) / 255 for each in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@needs_chromium
@pytest.mark.parametrize("dark", [False, True])
def test_light_and_dark_are_followed_and_readable(
    pages: dict[str, str], dark: bool, tmp_path: Path
) -> None:
    found = look(pages["one case"], tmp_path, dark=dark).found
    paper, ink = luminance(found["paper"]), luminance(found["ink"])
    assert (paper < ink) is dark
    assert (max(paper, ink) + 0.05) / (min(paper, ink) + 0.05) >= 7


@needs_chromium
def test_what_a_host_says_of_itself_stays_text(pages: dict[str, str], tmp_path: Path) -> None:
    found = look(pages["hostile"].encode("utf-8", "replace").decode(), tmp_path).found
    assert found["title"].startswith("Grant map and unmap")
    assert '</dd><script>document.title="owned"</script>' in found["text"]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_holds_all_it_needs(pages: dict[str, str], name: str) -> None:
    text = pages[name]
    assert not re.search(r"<script|<iframe|<object|@import|url\(|<img", text)
    assert re.findall(r'(?:src|href)="([^"]*)"', text) == ["data:,"]


def test_figures_and_warnings_of_the_run_are_on_the_page(pages: dict[str, str]) -> None:
    made = BENCHES["two engines"]
    text = pages["two engines"]
    assert made.host["boot_id"] in text
    assert text.count('<th scope="row">') == len(made.results)
    assert "rows 1-24: 500 samples are too few for p99 and p99.9" in text


def test_one_line_stands_for_both_operations_where_they_take_turns(pages: dict[str, str]) -> None:
    made = BENCHES["two engines"]
    assert pages["two engines"].count(">both</text>") == 10
    apart = replace(
        made,
        results=tuple(
            replace(result, throughput_per_s=result.throughput_per_s * (1 + number % 2))
            for number, result in enumerate(made.results)
        ),
    )
    assert ">both</text>" not in bench_page.render(apart)


def test_text_is_escaped_wherever_it_stands() -> None:
    made = el("p", "a < b", el("b", "&"), "</p>", title='"<', data_x=1.5, lang=None)
    assert tostring(made, encoding="unicode", method="html") == (
        '<p title="&quot;<" data-x="1.5">a &lt; b<b>&amp;</b>&lt;/p&gt;</p>'
    )


def test_a_page_is_written_although_its_host_is_not_utf_8(tmp_path: Path) -> None:
    write_text(bench_page.render(BENCHES["hostile"]), str(tmp_path / "run.html"))
    assert "&lt;img src=x&gt;" in (tmp_path / "run.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0, 2.6e6), (0, 999), (0.82, 1.003), (0.9999, 1.0001), (0, 7)]
)
def test_linear_ticks_are_few_round_and_around_the_range(low: float, high: float) -> None:
    ticks = linear_ticks(low, high)
    assert ticks[0] <= low + 1e-12
    assert ticks[-1] >= high - 1e-12
    assert 3 <= len(ticks) <= 7
    step = ticks[1] - ticks[0]
    assert f"{step:.0e}"[0] in "125" or f"{step:.1e}"[:3] == "2.5"


@pytest.mark.parametrize(("low", "high"), [(224, 812), (600, 200_000), (17, 3e9), (5, 5)])
def test_log_ticks_lie_within_a_range_that_holds_all_values(low: float, high: float) -> None:
    start, end = log_range([low, high])
    assert start <= low <= high <= end
    assert start < end
    ticks = log_ticks(start, end)
    assert 2 <= len(ticks) <= 10
    assert start <= min(ticks) <= max(ticks) <= end


def test_a_scale_puts_equal_ratios_at_equal_distances() -> None:
    log = Scale(1, 100, 0, 10, log=True)
    assert (log(1), log(10), log(100)) == pytest.approx((0, 5, 10))
    up = Scale(0, 4, 200, 100)
    assert (up(0), up(1), up(9)) == (200, 175, 100)


@pytest.mark.parametrize(("unmap_floor", "drawn"), [(200.0, 1), (390.0, 2)])
def test_floors_far_apart_are_drawn_apart(unmap_floor, drawn):
    made = document(engines=("hypercall",), batches=(32,), threads=(1,), samples=50)
    results = [
        replace(r, floor_ns=unmap_floor if r.case.operation == "unmap" else 190.0)
        for r in made.results
    ]
    text = bench_page.render(replace(made, results=tuple(results)))
    assert text.count('class="level') - text.count('class="level-label') == drawn
    assert ("floor 390 ns" in text) == (drawn == 2)
