"""Comparison of the histogram with the `hdrhistogram` package, an independent implementation."""

import base64
import io
import struct
import tracemalloc
import zlib

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from hypothesis import given, settings
from hypothesis import strategies as st

from xenlib_cffi.histogram import Histogram, write_log

HOUR_NS = 3_600_000_000_000
# No deadline: the oracle takes 30 ms for a histogram with three digits.
slow_oracle = settings(max_examples=60, deadline=None)

# As many values next to a power of two as between two of them.
values = st.integers(0, 41).flatmap(
    lambda bits: st.integers(max(0, 2**bits - 2), min(2 ** (bits + 1), HOUR_NS))
)
counted = st.lists(st.tuples(values, st.integers(1, 10_000)), min_size=1, max_size=40)
digits = st.sampled_from([2, 3])
percentiles = st.floats(0, 100) | st.sampled_from([0.0, 25.0, 50.0, 90.0, 99.0, 99.9, 100.0])


def both_histograms(recorded, digits, highest=HOUR_NS):
    """A histogram of the bindings and one of the oracle, with the same values."""
    ours, oracle = Histogram(highest, digits), HdrHistogram(1, highest, digits)
    for value, count in recorded:
        ours.record(value, count)
        assert oracle.record_value(value, count)
    return ours, oracle


def oracle_buckets(oracle):
    return [
        (low, oracle.get_highest_equivalent_value(low), oracle.get_count_at_index(index))
        for index in range(oracle.counts_len)
        if oracle.get_count_at_index(index)
        for low in [oracle.get_value_from_index(index)]
    ]


@slow_oracle
@given(recorded=counted, digits=digits, q=percentiles)
def test_layout_and_statistics_equal_the_oracle(recorded, digits, q):
    ours, oracle = both_histograms(recorded, digits)
    assert list(ours.buckets()) == oracle_buckets(oracle)
    assert ours.cdata.length == oracle.counts_len
    assert ours.percentile(q) == oracle.get_value_at_percentile(q)
    assert ours.count == oracle.get_total_count()
    assert ours.mean == pytest.approx(oracle.get_mean_value(), rel=1e-12)
    assert ours.stdev == pytest.approx(oracle.get_stddev(), rel=1e-9, abs=1e-6)


def test_percentiles_of_few_values_equal_the_oracle():
    ours, oracle = Histogram(), HdrHistogram(1, HOUR_NS, 3)
    for value in range(40):
        ours.record(value)
        oracle.record_value(value)
        for q in (0, 1, 10, 25, 50, 75, 90, 99, 99.9, 100):
            assert ours.percentile(q) == oracle.get_value_at_percentile(q)


@slow_oracle
@given(recorded=counted, digits=digits)
def test_extremes_and_sum_are_exact(recorded, digits):
    ours, _ = both_histograms(recorded, digits)
    assert ours.min == min(value for value, _ in recorded)
    assert ours.max == max(value for value, _ in recorded)
    assert ours.sum == sum(value * count for value, count in recorded)
    assert ours.clamped == 0


@slow_oracle
@given(recorded=counted, digits=digits)
def test_the_oracle_decodes_our_encoding(recorded, digits):
    ours, oracle = both_histograms(recorded, digits)
    read = HdrHistogram.decode(ours.encode())
    assert read.equals(oracle)
    assert ours.encode().startswith("HISTFAAA")


@slow_oracle
@given(recorded=counted, digits=digits)
def test_we_decode_the_encoding_of_the_oracle(recorded, digits):
    ours, oracle = both_histograms(recorded, digits)
    read = Histogram.decode(oracle.encode().decode())
    assert list(read.buckets()) == list(ours.buckets())
    assert (read.highest, read.digits, read.count) == (HOUR_NS, digits, ours.count)
    assert read.min <= ours.min <= ours.max <= read.max
    assert read.sum == sum((low + (high + 1 - low) // 2) * n for low, high, n in read.buckets())
    assert read.encode() == ours.encode()


@slow_oracle
@given(first=counted, second=counted, digits=digits, other_digits=digits)
def test_merge_equals_the_oracle(first, second, digits, other_digits):
    ours, oracle = both_histograms(first, digits)
    other, other_oracle = both_histograms(second, other_digits, 2 * HOUR_NS)
    ours.merge(other)
    oracle.add(other_oracle)
    assert list(ours.buckets()) == oracle_buckets(oracle)
    recorded = first + second
    assert ours.count == sum(count for _, count in recorded)
    assert ours.min == min(value for value, _ in recorded)
    assert ours.max == max(value for value, _ in recorded)
    assert ours.sum == sum(value * count for value, count in recorded)


@slow_oracle
@given(
    calls=st.lists(st.integers(0, 2_000_000), min_size=1, max_size=10),
    interval=st.integers(1_000, 3_000_000),
    digits=digits,
)
def test_coordinated_omission_is_corrected_as_in_the_oracle(calls, interval, digits):
    ours, oracle = Histogram(digits=digits), HdrHistogram(1, HOUR_NS, digits)
    for value in calls:
        ours.record_corrected(value, interval)
        oracle.record_corrected_value(value, interval)
    every = [v for call in calls for v in (call, *range(call - interval, interval - 1, -interval))]
    assert (ours.count, ours.sum) == (len(every), sum(every))
    assert (ours.min, ours.max) == (min(every), max(every))
    # The Python port also records the remainder below one interval; Java and C do not.
    for value in calls:
        if value > interval and value % interval:
            ours.record(value % interval)
    assert list(ours.buckets()) == oracle_buckets(oracle)


def test_correcting_a_stall_of_an_hour_is_fast():
    h = Histogram()
    h.record_corrected(HOUR_NS, 1)
    assert h.count == HOUR_NS
    assert h.percentile(50) == pytest.approx(HOUR_NS / 2, rel=1e-3)
    assert h.min == 1


def test_an_interval_of_0_corrects_nothing():
    h = Histogram()
    h.record_corrected(1_000_000, 0)
    assert list(h.buckets()) == [(999_936, 1_000_447, 1)]


def test_values_above_the_highest_are_clamped_and_counted():
    h = Histogram(highest=1_000_000, digits=3)
    for value in (999_999, 1_000_000, 1_000_001, 2**63, 2**70):
        h.record(value)
    assert (h.count, h.clamped, h.max) == (5, 3, 1_000_000)
    wide = Histogram()
    wide.record(5_000_000, 7)
    h.merge(wide)
    assert (h.count, h.clamped, h.max) == (12, 10, 1_000_000)


def test_statistics_of_an_empty_histogram_are_0():
    h = Histogram()
    assert (h.count, h.min, h.max, h.sum, h.mean, h.stdev, h.percentile(50)) == (0,) * 7
    assert list(h.buckets()) == []
    assert HdrHistogram.decode(h.encode()).get_total_count() == 0
    assert Histogram.decode(h.encode()).count == 0
    other = Histogram()
    other.record(5)
    other.merge(h)
    assert (other.count, other.min) == (1, 5)
    other.reset()
    assert (other.count, other.min, other.max, list(other.buckets())) == (0, 0, 0, [])


def test_merging_with_itself_doubles():
    h = Histogram()
    h.record(1000, 3)
    h.merge(h)
    assert list(h.buckets()) == [(1000, 1000, 6)]
    assert h.sum == 6000


@pytest.mark.parametrize(
    ("highest", "digits"), [(1, 3), (2**63, 3), (-5, 3), (1000, 0), (1000, 6), (1000, -1)]
)
def test_arguments_out_of_range_are_an_error(highest, digits):
    with pytest.raises(ValueError, match=f"up to {highest} with {digits} significant"):
        Histogram(highest, digits)


@pytest.mark.parametrize("highest", [2, 2047, 2048, 2**31, 2**62 - 1, 2**62, 2**63 - 1])
@pytest.mark.parametrize("digits", [1, 2, 3, 4, 5])
def test_the_length_of_every_range_equals_the_oracle(highest, digits):
    h = Histogram(highest, digits)
    assert h.cdata.length == HdrHistogram(1, highest, digits).counts_len
    h.record(highest)
    ((low, high, count),) = h.buckets()
    assert low <= highest <= high < 2**63
    assert count == 1


def test_counts_do_not_overflow():
    h = Histogram()
    h.record(7, 2**63 - 1)
    assert h.percentile(100) == 7
    with pytest.raises(OverflowError):
        h.record(7)
    with pytest.raises(OverflowError):
        h.merge(h)
    assert h.count == 2**63 - 1
    assert h.sum == 2**64 - 1
    assert Histogram.decode(h.encode()).count == 2**63 - 1


@pytest.mark.parametrize("call", [("record", -1), ("record", 1, -1), ("record_corrected", 1, -1)])
def test_negative_arguments_are_an_error(call):
    name, *arguments = call
    with pytest.raises(ValueError, match="negative"):
        getattr(Histogram(), name)(*arguments)


@pytest.mark.parametrize("q", [-0.1, 100.1, float("nan"), float("inf")])
def test_a_percentile_out_of_range_is_an_error(q):
    with pytest.raises(ValueError, match="is not between 0 and 100"):
        Histogram().percentile(q)


# The errors for damaged and hostile encodings.


def compressed(header, payload=b"", cookie=0x1C849314):
    packed = zlib.compress(header + payload)
    return base64.b64encode(struct.pack(">II", cookie, len(packed)) + packed).decode()


def v2(
    payload,
    *,
    cookie=0x1C849313,
    offset=0,
    figures=3,
    lowest=1,
    highest=HOUR_NS,
    ratio=1.0,
    size=None,
):
    size = len(payload) if size is None else size
    return struct.pack(">IIIIQQd", cookie, size, offset, figures, lowest, highest, ratio) + payload


def test_the_encoder_of_these_tests_creates_valid_encodings():
    h = Histogram.decode(compressed(v2(b"\x03\x02")))  # a run of two zeros, then a count of one
    assert list(h.buckets()) == [(2, 2, 1)]


NINE_BYTES = b"\xfe" + b"\xff" * 8  # a count of 2^63 - 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "within the cookie"),
        ("HIST!", "base64"),
        ("HISTFAé", "ASCII"),
        (base64.b64encode(b"\x1c\x84\x93\x08\0\0\0\0").decode(), "compressed V2"),
        (base64.b64encode(b"\x1c\x84\x93\x14\0\0\0\x09").decode(), "0 bytes instead of 9"),
        (base64.b64encode(b"\x1c\x84\x93\x14\0\0\0\x04abcd").decode(), "incorrect header"),
        (compressed(b"short"), "within the header"),
        (compressed(v2(b"", cookie=0x1C849308)), "V2 encoding"),
        (compressed(v2(b"", offset=1)), "shifted"),
        (compressed(v2(b"", lowest=1000)), "lowest discernible"),
        (compressed(v2(b"", ratio=2.0)), "scaled"),
        (compressed(v2(b"", figures=0)), "out of range"),
        (compressed(v2(b"", figures=2**32 - 1)), "out of range"),
        (compressed(v2(b"", highest=1)), "out of range"),
        (compressed(v2(b"", highest=2**64 - 1)), "out of range"),
        (compressed(v2(b"", size=2**32 - 1)), "more than its range allows"),
        (compressed(v2(b"\x02", size=2)), "do not have 2 bytes"),
        (compressed(v2(b"\x02", size=0)), "do not have 0 bytes"),
        (compressed(v2(b"\x80")), "within a count"),
        (compressed(v2(NINE_BYTES[:8])), "within a count"),
        (compressed(v2(NINE_BYTES + b"\x02")), "64-bit"),
        (compressed(v2(b"\xff" * 9)), "more counts than its range"),  # a run of 2^63 zeros
        (compressed(v2(b"\x02" * 2100, figures=1, highest=2)), "length is more than its range"),
        (compressed(v2(b"\x02" * 65, figures=1, highest=2)), "more counts than its range"),
    ],
)
def test_an_invalid_encoding_is_an_error(text, message):
    with pytest.raises(ValueError, match=message):
        Histogram.decode(text)


def test_decoding_uses_no_more_memory_than_the_range_needs():
    bomb = compressed(v2(b"\0" * 50_000_000, size=10))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="do not have 10 bytes"):
            Histogram.decode(bomb)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@slow_oracle
@given(recorded=counted, data=st.data())
def test_a_damaged_encoding_is_a_value_error_or_valid(recorded, data):
    ours = Histogram()
    for value, count in recorded:
        ours.record(value, count)
    inner = bytearray(zlib.decompress(base64.b64decode(ours.encode())[8:]))
    at = data.draw(st.integers(0, len(inner) - 1))
    inner[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(inner)))
    for damaged in (inner, inner[:cut], inner + b"\x01"):
        try:
            read = Histogram.decode(compressed(bytes(damaged)))
        except ValueError as error:
            assert "cannot be decoded: " in str(error)  # noqa: PT017 (damage may result in a valid encoding)
        else:
            assert read.count == sum(count for _, _, count in read.buckets())


def test_the_oracle_reads_the_log(tmp_path):
    first, second = Histogram(), Histogram(digits=2)
    first.record(1_500_000, 2)
    second.record(2_000_000)
    path = tmp_path / "run.hlog"
    with path.open("w", encoding="utf-8") as stream:
        write_log(stream, [("map", 0.0, 1.5, first), ("", 1.5, 0.5, second)])
    reader = HistogramLogReader(str(path), HdrHistogram(1, HOUR_NS, 3))
    read = [reader.get_next_interval_histogram() for _ in range(3)]
    assert read[2] is None
    assert [h.get_tag() for h in read[:2]] == ["map", None]
    assert [h.get_start_time_stamp() for h in read[:2]] == [0, 1500]
    assert [h.get_end_time_stamp() for h in read[:2]] == [1500, 2000]
    assert [oracle_buckets(h) for h in read[:2]] == [list(first.buckets()), list(second.buckets())]
    assert path.read_text(encoding="utf-8").splitlines()[2].startswith("Tag=map,0.000,1.500,1.500,")


@pytest.mark.parametrize("tag", ["a,b", "a b", "a\n", "\n"])
def test_a_tag_with_a_comma_or_white_space_is_an_error(tag):
    with pytest.raises(ValueError, match="comma or white space"):
        write_log(io.StringIO(), [(tag, 0, 1, Histogram())])
