"""The page: equal to what prometheus_client formats, including native histograms."""

import re
from dataclasses import replace
from itertools import accumulate
from math import ceil, log2

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.openmetrics import exposition
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)

from tests.unit.exposition import LibraryCollector, samples
from xengt.serve import page as page_module
from xengt.serve.buckets import Buckets
from xengt.serve.http.compression import join
from xengt.serve.metrics import native_histogram
from xengt.serve.metrics.metric_definition import Label, MetricDefinition
from xengt.serve.metrics.metric_families import family, histogram, single
from xengt.serve.page import Page
from xenlib_cffi.histogram import Histogram

LABEL_VALUES = st.text(max_size=5)
NUMBERS = st.integers(0, 2**53) | st.floats(allow_nan=False)


class FixedSource:
    """A source of given families."""

    def __init__(self, *families):
        self.current = families

    def families(self):
        return self.current


def metric(name, kind, *labels, text="Is."):
    return MetricDefinition(name, kind, "", text, tuple(Label(each, "") for each in labels))


GAUGE = metric("a_gauge", "gauge", "word", text="What \\ it\nis, 100 %s.")
COUNTER = metric("a_count_total", "counter", "word")
HISTOGRAM = metric("a_seconds", "histogram", "word")


def formatted_by_library(source):
    registry = CollectorRegistry(auto_describe=False)
    registry.register(LibraryCollector([source]))
    return generate_latest(registry).decode()


@given(
    st.lists(
        st.lists(st.tuples(LABEL_VALUES, NUMBERS), max_size=3, unique_by=lambda row: row[0]),
        min_size=1,
        max_size=4,
    )
)
@settings(deadline=None)
def test_the_page_equals_that_of_the_library(scrapes):
    """In several scrapes, with the same series and with others, and any text as label value."""
    source = FixedSource()
    page = Page([source])
    for rows in scrapes:
        buckets = Buckets()
        for _, number in rows:
            calls = Histogram()
            calls.record(int(min(abs(number), 10**9)))
            buckets.add(calls, 2)
        labelled = [((word,), number) for word, number in rows]
        source.current = (
            family(GAUGE, labelled),
            family(COUNTER, labelled),
            histogram(HISTOGRAM, [(values, buckets) for values, _ in labelled]),
        )
        expected, found = formatted_by_library(source), page.text().decode()
        assert samples(found) == samples(expected)
        # the same series and comments, in the same order
        assert [line.rpartition(" ")[0] for line in found.split("\n") if line[:1] != "#"] == [
            line.rpartition(" ")[0] for line in expected.split("\n") if line[:1] != "#"
        ]
        assert [line for line in found.split("\n") if line[:1] == "#"] == [
            line for line in expected.split("\n") if line[:1] == "#"
        ]


def test_the_library_formats_a_family_again_only_for_other_series():
    source = FixedSource(family(GAUGE, [(("c",), 1)]))
    page = Page([source])
    page.text()
    source.current = (replace(family(GAUGE, [(("c",), 2)]), metric=None),)
    assert page.text().decode().endswith('a_gauge{word="c"} 2\n')


def test_only_families_with_changed_numbers_are_formatted(monkeypatch):
    formatted = []
    monkeypatch.setattr(page_module, "_text", lambda number: formatted.append(number) or "x")
    kept = single(metric("b", "gauge"), 0.5)
    source = FixedSource(kept, family(GAUGE, [(("c",), 1.5), (("d",), 7)]))
    page = Page([source])
    parts, _ = page.answer("")
    assert formatted == [0.5, 1.5]
    assert page.answer("")[0][:2] == parts[:2]
    assert formatted == [0.5, 1.5]
    source.current = (kept, family(GAUGE, [(("c",), 2.5), (("d",), 7)]))
    changed, _ = page.answer("")
    assert formatted == [0.5, 1.5, 2.5]
    assert (changed[0], changed[1] is parts[1]) == (parts[0], False)


# native histograms

OPENMETRICS_2 = "application/openmetrics-text; version=2.0.0; escaping=underscores,text/plain"


@pytest.mark.skipif(not native_histogram.SUPPORTED, reason="prometheus_client cannot write any")
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20), st.sampled_from([1, 32]))
@settings(deadline=None)
def test_native_histograms_count_each_latency_in_its_bucket(nanoseconds, batch):
    calls, buckets = Histogram(), Buckets()
    for value in nanoseconds:
        calls.record(value)
    buckets.add(calls, batch)
    page = Page([FixedSource(histogram(HISTOGRAM, [(["c"], buckets)]))])
    parts, kind = page.answer(OPENMETRICS_2)
    content = join(parts)
    assert "version=2.0.0" in kind
    assert content.endswith(b"# EOF\n")
    (line,) = [
        each for each in content.decode().split("\n") if each.startswith('a_seconds{word="c"} {')
    ]
    found = re.fullmatch(
        r'a_seconds\{word="c"\} \{count:(\d+),sum:(\S+),schema:3,zero_threshold:0.0,zero_count:0,'
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
        # A value is exact to 0.1 %: near a bound, it may count on either side.
        at = 8 * log2(max(value, 1) * 1e-9 / batch)
        assert any(counted.get(ceil(at + near)) for near in (-0.01, 0, 0.01))
    # Text has no native histograms, and both formats have the fixed bounds.
    assert b"schema" not in page.text()
    assert b'a_seconds_bucket{le="+Inf",word="c"}' in content


OPENMETRICS = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5"


def test_openmetrics_equals_that_of_the_library():
    """In several scrapes, and beside scrapes of the text format."""
    source = FixedSource()
    page = Page([source], [ProcessCollector(registry=None)])
    for number in (1, 2.5):
        buckets = Buckets()
        calls = Histogram()
        calls.record(1000, int(number))
        buckets.add(calls, 2)
        rows = [(("a\n# EOF\n",), number), (("b",), 0)]
        source.current = (
            family(GAUGE, rows),
            family(COUNTER, rows),
            histogram(HISTOGRAM, [(("c",), buckets)]),
        )
        parts, kind = page.answer(f"{OPENMETRICS},text/plain;q=0.2")
        content = join(parts)
        # Debian 12's prometheus_client calls the same format 0.0.1.
        assert re.match(r"application/openmetrics-text; version=(1\.0\.0|0\.0\.1); ", kind)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(LibraryCollector([source]))
        expected = exposition.generate_latest(registry).decode().removesuffix("# EOF\n")
        assert content.endswith(b"\n# EOF\n")
        found = content.decode().removesuffix("# EOF\n")
        beginning = found[: found.index("# HELP process_")]
        assert openmetrics_samples(f"{beginning}# EOF\n") == openmetrics_samples(
            f"{expected}# EOF\n"
        )
        assert openmetrics_samples(content.decode())
        assert b"# EOF\n" not in page.text().replace(b"\\n# EOF\\n", b"")


def openmetrics_samples(text):
    return [
        (family.name, family.type, family.documentation, sample.name, sample.labels, sample.value)
        for family in parse_openmetrics(text)
        for sample in family.samples
    ]


@pytest.mark.parametrize("accept", ["", "*/*", f"{OPENMETRICS},text/plain"])
def test_other_clients_get_text(accept):
    parts, kind = Page([FixedSource(single(metric("a", "gauge"), 1))]).answer(accept)
    assert kind.startswith("text/plain; version=")
    assert join(parts).endswith(b"\na 1\n")


def test_no_parameter_of_a_client_is_in_the_content_type():
    page = Page([FixedSource(single(metric("a", "gauge"), 1))])
    for version in ("1.2.3", "9", "x\n"):
        for kind in ("application/openmetrics-text", "text/plain"):
            answer = page.answer(f"{kind};version={version};escaping=values")
            assert version not in answer[1]
            assert "values" not in answer[1]
    assert len(page._formatted) == 1
