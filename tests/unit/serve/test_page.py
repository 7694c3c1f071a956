"""The page: what prometheus_client writes, native histograms too, with other numbers."""

import re
from dataclasses import replace
from itertools import accumulate
from math import ceil, log2

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from tests.unit.told import Library, numbers
from xengt.serve.metrics import native_histogram
from xengt.serve.metrics.buckets import Buckets
from xengt.serve.metrics.metric_families import counter, gauge, histogram
from xengt.serve.page import Page
from xenlib_cffi.histogram import Histogram

WORDS = st.text(max_size=5)
NUMBERS = st.integers(0, 2**53) | st.floats(allow_nan=False)


class Given:
    """A source that tells what it is given."""

    def __init__(self, *families):
        self.told = families

    def families(self):
        return self.told


def by_the_library(source):
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Library([source]))
    return generate_latest(registry).decode()


@given(
    st.lists(
        st.lists(st.tuples(WORDS, NUMBERS), max_size=3, unique_by=lambda row: row[0]),
        min_size=1,
        max_size=4,
    )
)
@settings(deadline=None)
def test_numbers_are_put_where_the_library_puts_them(scrapes):
    """Scrape after scrape: the same series and others, under names of any text."""
    source = Given()
    page = Page([source])
    for rows in scrapes:
        buckets = Buckets()
        for _, number in rows:
            calls = Histogram()
            calls.record(int(min(abs(number), 10**9)))
            buckets.add(calls, 2)
        named = [((word,), number) for word, number in rows]
        source.told = (
            gauge("a_gauge", "What \\ it\nis.", ["word"], named),
            counter("a_count", "Is.", ["word"], named),
            histogram("a_seconds", "Is.", ["word"], [(words, buckets) for words, _ in named]),
        )
        expected, found = by_the_library(source), page.text().decode()
        assert numbers(found) == numbers(expected)
        # comments and series as they are, in the order they are in
        assert [line.rpartition(" ")[0] for line in found.split("\n") if line[:1] != "#"] == [
            line.rpartition(" ")[0] for line in expected.split("\n") if line[:1] != "#"
        ]
        assert [line for line in found.split("\n") if line[:1] == "#"] == [
            line for line in expected.split("\n") if line[:1] == "#"
        ]


def test_a_family_is_written_anew_only_with_other_series():
    source = Given(gauge("a", "Is.", ["b"], [(("c",), 1)]))
    page = Page([source])
    page.text()
    source.told = (replace(gauge("a", "Is.", ["b"], [(("c",), 2)]), metric=None),)
    assert page.text().decode().endswith('a{b="c"} 2\n')


# native histograms

OPENMETRICS_2 = "application/openmetrics-text; version=2.0.0; escaping=underscores,text/plain"


@pytest.mark.skipif(not native_histogram.CAN, reason="this prometheus_client writes none")
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20), st.sampled_from([1, 32]))
@settings(deadline=None)
def test_native_histograms_count_each_latency_in_its_bucket(nanoseconds, batch):
    calls, buckets = Histogram(), Buckets()
    for value in nanoseconds:
        calls.record(value)
    buckets.add(calls, batch)
    page = Page([Given(histogram("a_seconds", "Is.", ["b"], [(["c"], buckets)]))])
    content, kind = page.answer(OPENMETRICS_2)
    assert "version=2.0.0" in kind
    assert content.endswith(b"# EOF\n")
    (line,) = [
        each for each in content.decode().split("\n") if each.startswith('a_seconds{b="c"} {')
    ]
    found = re.fullmatch(
        r'a_seconds\{b="c"\} \{count:(\d+),sum:(\S+),schema:3,zero_threshold:0.0,zero_count:0,'
        r"positive_spans:\[(\S+)\],positive_deltas:\[(\S+)\]\}",
        line,
    )
    assert int(found[1]) == batch * len(nanoseconds)
    assert float(found[2]) == pytest.approx(sum(nanoseconds) * 1e-9)
    deltas = accumulate(map(int, found[4].split(",")))
    index, counted = 0, {}
    for span in found[3].split(","):
        gap, length = map(int, span.split(":"))
        index += gap
        for _ in range(length):
            counted[index] = next(deltas)
            index += 1
    assert next(deltas, None) is None
    for value in set(nanoseconds):
        # A value is known to a thousandth: near a bound it may be on either side.
        at = 8 * log2(max(value, 1) * 1e-9 / batch)
        assert any(counted.get(ceil(at + near)) for near in (-0.01, 0, 0.01))
    # The other forms have none of it, and the bounds as ever.
    assert b"schema" not in page.answer("text/plain")[0]
    assert b'a_seconds_bucket{b="c",le="+Inf"}' in content


def test_who_asks_for_an_older_openmetrics_gets_text():
    page = Page([Given(gauge("a", "Is.", [], [((), 1)]))])
    for accept in ("", "application/openmetrics-text;version=1.0.0,text/plain", "*/*"):
        content, kind = page.answer(accept)
        assert kind.startswith("text/plain; version=")
        assert content.endswith(b"\na 1\n")
