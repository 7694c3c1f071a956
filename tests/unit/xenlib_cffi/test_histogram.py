"""The histogram against the `hdrhistogram` package, an independent implementation of the format."""

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
# The oracle is slow: it takes 30 ms to go over a histogram of three digits.
unhurried = settings(max_examples=60, deadline=None)

# As many around each power of two as in between.
values = st.integers(0, 41).flatmap(
    lambda bits: st.integers(max(0, 2**bits - 2), min(2 ** (bits + 1), HOUR_NS))
)
counted = st.lists(st.tuples(values, st.integers(1, 10_000)), min_size=1, max_size=40)
digits = st.sampled_from([2, 3])
percentiles = st.floats(0, 100) | st.sampled_from([0.0, 25.0, 50.0, 90.0, 99.0, 99.9, 100.0])


def pair(recorded, digits, highest=HOUR_NS):
    """Ours and the oracle's histogram of the same values."""
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


@unhurried
@given(recorded=counted, digits=digits, q=percentiles)
def test_layout_and_statistics_are_hdrhistograms(recorded, digits, q):
    ours, oracle = pair(recorded, digits)
    assert list(ours.buckets()) == oracle_buckets(oracle)
    assert ours.cdata.length == oracle.counts_len
    assert ours.percentile(q) == oracle.get_value_at_percentile(q)
    assert ours.count == oracle.get_total_count()
    assert ours.mean == pytest.approx(oracle.get_mean_value(), rel=1e-12)
    assert ours.stdev == pytest.approx(oracle.get_stddev(), rel=1e-9, abs=1e-6)


def test_ranks_round_as_hdrhistograms():
    ours, oracle = Histogram(), HdrHistogram(1, HOUR_NS, 3)
    for value in range(40):
        ours.record(value)
        oracle.record_value(value)
        for q in (0, 1, 10, 25, 50, 75, 90, 99, 99.9, 100):
            assert ours.percentile(q) == oracle.get_value_at_percentile(q)


@unhurried
@given(recorded=counted, digits=digits)
def test_extremes_and_sum_are_exact(recorded, digits):
    ours, _ = pair(recorded, digits)
    assert ours.min == min(value for value, _ in recorded)
    assert ours.max == max(value for value, _ in recorded)
    assert ours.sum == sum(value * count for value, count in recorded)
    assert ours.clamped == 0


@unhurried
@given(recorded=counted, digits=digits)
def test_the_oracle_decodes_what_we_encode(recorded, digits):
    ours, oracle = pair(recorded, digits)
    read = HdrHistogram.decode(ours.encode())
    assert read.equals(oracle)
    assert ours.encode().startswith("HISTFAAA")


@unhurried
@given(recorded=counted, digits=digits)
def test_we_decode_what_the_oracle_encodes(recorded, digits):
    ours, oracle = pair(recorded, digits)
    read = Histogram.decode(oracle.encode().decode())
    assert list(read.buckets()) == list(ours.buckets())
    assert (read.highest, read.digits, read.count) == (HOUR_NS, digits, ours.count)
    assert read.min <= ours.min <= ours.max <= read.max
    assert read.sum == sum((low + (high + 1 - low) // 2) * n for low, high, n in read.buckets())
    assert read.encode() == ours.encode()


@unhurried
@given(first=counted, second=counted, digits=digits, other_digits=digits)
def test_merging(first, second, digits, other_digits):
    ours, oracle = pair(first, digits)
    other, other_oracle = pair(second, other_digits, 2 * HOUR_NS)
    ours.merge(other)
    oracle.add(other_oracle)
    assert list(ours.buckets()) == oracle_buckets(oracle)
    together = first + second
    assert ours.count == sum(count for _, count in together)
    assert ours.min == min(value for value, _ in together)
    assert ours.max == max(value for value, _ in together)
    assert ours.sum == sum(value * count for value, count in together)


@unhurried
@given(
    calls=st.lists(st.integers(0, 2_000_000), min_size=1, max_size=10),
    interval=st.integers(1_000, 3_000_000),
    digits=digits,
)
def test_coordinated_omission(calls, interval, digits):
    ours, oracle = Histogram(digits=digits), HdrHistogram(1, HOUR_NS, digits)
    for value in calls:
        ours.record_corrected(value, interval)
        oracle.record_corrected_value(value, interval)
    every = [v for call in calls for v in (call, *range(call - interval, interval - 1, -interval))]
    assert (ours.count, ours.sum) == (len(every), sum(every))
    assert (ours.min, ours.max) == (min(every), max(every))
    # The Python port also counts what is left below one interval; its Java and C originals do not.
    for value in calls:
        if value > interval and value % interval:
            ours.record(value % interval)
    assert list(ours.buckets()) == oracle_buckets(oracle)


def test_a_stall_of_an_hour_is_corrected_at_once():
    h = Histogram()
    h.record_corrected(HOUR_NS, 1)
    assert h.count == HOUR_NS
    assert h.percentile(50) == pytest.approx(HOUR_NS / 2, rel=1e-3)
    assert h.min == 1


def test_no_interval_corrects_nothing():
    h = Histogram()
    h.record_corrected(1_000_000, 0)
    assert list(h.buckets()) == [(999_936, 1_000_447, 1)]


def test_values_above_the_highest_are_counted_and_told():
    h = Histogram(highest=1_000_000, digits=3)
    for value in (999_999, 1_000_000, 1_000_001, 2**63, 2**70):
        h.record(value)
    assert (h.count, h.clamped, h.max) == (5, 3, 1_000_000)
    wide = Histogram()
    wide.record(5_000_000, 7)
    h.merge(wide)
    assert (h.count, h.clamped, h.max) == (12, 10, 1_000_000)


def test_an_empty_histogram():
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
def test_impossible_shapes_are_refused(highest, digits):
    with pytest.raises(ValueError, match=f"reach {highest} with {digits} significant digits"):
        Histogram(highest, digits)


@pytest.mark.parametrize("highest", [2, 2047, 2048, 2**31, 2**62 - 1, 2**62, 2**63 - 1])
@pytest.mark.parametrize("digits", [1, 2, 3, 4, 5])
def test_every_range_has_the_oracles_length(highest, digits):
    h = Histogram(highest, digits)
    assert h.cdata.length == HdrHistogram(1, highest, digits).counts_len
    h.record(highest)
    ((low, high, count),) = h.buckets()
    assert low <= highest <= high < 2**63
    assert count == 1


def test_counts_never_overflow():
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
def test_negative_arguments_are_refused(call):
    name, *arguments = call
    with pytest.raises(ValueError, match="negative"):
        getattr(Histogram(), name)(*arguments)


@pytest.mark.parametrize("q", [-0.1, 100.1, float("nan"), float("inf")])
def test_a_percentile_is_a_percentage(q):
    with pytest.raises(ValueError, match="is not a percentile"):
        Histogram().percentile(q)


# What a damaged or hostile encoding is refused with.


def wrapped(header, payload=b"", cookie=0x1C849314):
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


def test_the_hand_made_encoding_is_a_good_one():
    h = Histogram.decode(wrapped(v2(b"\x03\x02")))  # a run of two zeros, then a count of one
    assert list(h.buckets()) == [(2, 2, 1)]


NINE_BYTES = b"\xfe" + b"\xff" * 8  # a count of 2^63 - 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "within its cookie"),
        ("HIST!", "base64"),
        ("HISTFAé", "ASCII"),
        (base64.b64encode(b"\x1c\x84\x93\x08\0\0\0\0").decode(), "compressed V2"),
        (base64.b64encode(b"\x1c\x84\x93\x14\0\0\0\x09").decode(), "says 9 bytes follow, and 0 do"),
        (base64.b64encode(b"\x1c\x84\x93\x14\0\0\0\x04abcd").decode(), "incorrect header"),
        (wrapped(b"short"), "within its header"),
        (wrapped(v2(b"", cookie=0x1C849308)), "V2 encoding"),
        (wrapped(v2(b"", offset=1)), "shifted"),
        (wrapped(v2(b"", lowest=1000)), "lowest discernible"),
        (wrapped(v2(b"", ratio=2.0)), "scaled"),
        (wrapped(v2(b"", figures=0)), "out of range"),
        (wrapped(v2(b"", figures=2**32 - 1)), "out of range"),
        (wrapped(v2(b"", highest=1)), "out of range"),
        (wrapped(v2(b"", highest=2**64 - 1)), "out of range"),
        (wrapped(v2(b"", size=2**32 - 1)), "longer than its range"),
        (wrapped(v2(b"\x02", size=2)), "not the 2 bytes"),
        (wrapped(v2(b"\x02", size=0)), "not the 0 bytes"),
        (wrapped(v2(b"\x80")), "within a count"),
        (wrapped(v2(NINE_BYTES[:8])), "within a count"),
        (wrapped(v2(NINE_BYTES + b"\x02")), "64-bit"),
        (wrapped(v2(b"\xff" * 9)), "more counts than its range"),  # a run of 2^63 zeros
        (wrapped(v2(b"\x02" * 2100, figures=1, highest=2)), "longer than its range"),
        (wrapped(v2(b"\x02" * 65, figures=1, highest=2)), "more counts than its range"),
    ],
)
def test_bad_encodings_are_refused(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        Histogram.decode(text)


def test_an_encoding_does_not_inflate_beyond_its_range():
    bomb = wrapped(v2(b"\0" * 50_000_000, size=10))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="not the 10 bytes"):
            Histogram.decode(bomb)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@unhurried
@given(recorded=counted, data=st.data())
def test_any_damage_is_a_value_error(recorded, data):
    ours = Histogram()
    for value, count in recorded:
        ours.record(value, count)
    inner = bytearray(zlib.decompress(base64.b64decode(ours.encode())[8:]))
    at = data.draw(st.integers(0, len(inner) - 1))
    inner[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(inner)))
    for damaged in (inner, inner[:cut], inner + b"\x01"):
        try:
            read = Histogram.decode(wrapped(bytes(damaged)))
        except ValueError as error:
            assert "cannot be read: " in str(error)  # noqa: PT017 (some damage is a good encoding)
        else:
            assert read.count == sum(count for _, _, count in read.buckets())


def test_the_log_is_read_back_by_the_oracle(tmp_path):
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
def test_a_tag_a_log_cannot_hold_is_refused(tag):
    with pytest.raises(ValueError, match="comma or white space"):
        write_log(io.StringIO(), [(tag, 0, 1, Histogram())])
