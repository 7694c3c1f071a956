"""A histogram that C loops record into, in HdrHistogram's layout and encoding."""

import base64
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Self, TextIO

from xenlib_cffi._histogram import ffi, lib

if TYPE_CHECKING:  # C types: only the stub has names for them
    from xenlib_cffi._histogram import CHistogram, CString

_HOUR_NS = 3_600_000_000_000
_INT64_MAX = 2**63 - 1
_MAX_DIGITS = 5
_MAX_PERCENTILE = 100
_NS_PER_MS = 1_000_000
# Characters of an encoding that an error shows.
_SHOWN = 24
# Of the deflated V2 encoding: its cookie, then how many bytes follow.
_OUTER = struct.Struct(">II")
_OUTER_COOKIE = 0x1C849304 | 0x10


class Histogram:
    """Counts of values from 0 to `highest`, each known to so many significant digits.

    The values have whatever unit the recorder means; here, nanoseconds. All arithmetic is C
    (csrc/histogram.c). The C functions run without the interpreter's lock: use a histogram
    from one thread at a time, give each thread its own, and merge them.

    Args:
        highest: the largest value told apart, 2 to 2^63 - 1; larger ones count as this one, and
            `clamped` says how many did. The default is an hour in ns.
        digits: significant decimal digits, 1 to 5. Memory grows tenfold with each: 3 digits up to
            an hour are 264 KiB.

    Raises:
        ValueError: `highest` or `digits` is out of range.
        MemoryError: there is no memory for the counts.
    """

    def __init__(self, highest: int = _HOUR_NS, digits: int = 3) -> None:
        """Make an empty histogram."""
        if not (2 <= highest <= _INT64_MAX and 1 <= digits <= _MAX_DIGITS):  # noqa: PLR2004
            raise ValueError(
                f"no histogram can reach {highest} with {digits} significant digits: "
                f"the highest value is 2 to {_INT64_MAX}, the digits are 1 to {_MAX_DIGITS}"
            )
        made = lib.histogram_new(highest, digits)
        if not made:
            raise MemoryError(f"no memory for a histogram of {digits} digits up to {highest}")
        self._c = ffi.gc(made, lib.histogram_free, 8 * made.length)

    @property
    def cdata(self) -> "CHistogram":
        """The `struct histogram *`, for C loops; alive for as long as this object is."""
        return self._c

    @property
    def highest(self) -> int:
        """The largest value told apart."""
        return self._c.highest

    @property
    def digits(self) -> int:
        """Significant decimal digits."""
        return self._c.digits

    @property
    def count(self) -> int:
        """How many values were recorded."""
        return self._c.total

    @property
    def clamped(self) -> int:
        """How many of them were above `highest`; they count as `highest`."""
        return self._c.clamped

    @property
    def min(self) -> int:
        """The smallest value, exactly (of its bucket after `decode`); 0 when empty."""
        return self._c.min if self._c.total else 0

    @property
    def max(self) -> int:
        """The largest value, exactly (of its bucket after `decode`); 0 when empty."""
        return self._c.max

    @property
    def sum(self) -> int:
        """The sum of the values, exactly (of the buckets' middles after `decode`).

        It stops at 2^64 - 1: in nanoseconds, 584 years.
        """
        return self._c.sum

    @property
    def mean(self) -> float:
        """The mean of the buckets' middles, as HdrHistogram's; 0 when empty."""
        return lib.histogram_mean(self._c)

    @property
    def stdev(self) -> float:
        """The standard deviation of the buckets' middles, as HdrHistogram's; 0 when empty."""
        return lib.histogram_stdev(self._c)

    def record(self, value: int, count: int = 1) -> None:
        """Count a value.

        Args:
            value: 0 or more.
            count: how many times, 0 or more.

        Raises:
            ValueError: `value` or `count` is negative.
            OverflowError: there would be more than 2^63 - 1 values.
        """
        if value < 0 or count < 0:
            raise ValueError(f"cannot count the value {value} {count} times: neither is negative")
        # What does not fit 64 bits is far above `highest`, and counts as that either way.
        if not lib.histogram_record_count(
            self._c, min(value, _INT64_MAX + 1), min(count, _INT64_MAX)
        ):
            raise OverflowError(f"{count} more than {self.count} values do not fit 63 bits")

    def record_corrected(self, value: int, interval: int) -> None:
        """Count a value, and those that its slowness kept from being measured.

        For coordinated omission: calls were due every `interval`, and none was made while this one
        was waited for. Counted too are `value - interval`, `value - 2 * interval`, ... down to
        `interval`: HdrHistogram's recordValueWithExpectedInterval().

        Args:
            value: 0 or more.
            interval: time between two intended starts, in the value's unit; 0 corrects nothing.

        Raises:
            ValueError: `value` or `interval` is negative.
        """
        if value < 0 or interval < 0:
            raise ValueError(
                f"cannot count the value {value} every {interval}: neither is negative"
            )
        lib.histogram_record_corrected(
            self._c, min(value, _INT64_MAX + 1), min(interval, _INT64_MAX)
        )

    def merge(self, other: "Histogram") -> None:
        """Add the counts of another histogram.

        With other digits, each count lands where the lowest value of its bucket does, as in
        HdrHistogram's add(). `min`, `max` and `sum` stay exact, but for values that are above
        this histogram's `highest`.

        Args:
            other: of any range and digits; it does not change.

        Raises:
            OverflowError: there would be more than 2^63 - 1 values; nothing is merged.
        """
        if not lib.histogram_merge(self._c, other.cdata):
            raise OverflowError(f"{other.count} more than {self.count} values do not fit 63 bits")

    def reset(self) -> None:
        """Forget every value."""
        lib.histogram_reset(self._c)

    def percentile(self, q: float) -> int:
        """Return the value that `q` percent of the values do not exceed.

        Args:
            q: percent, 0 to 100.

        Returns:
            The largest value of the bucket that holds the percentile (the smallest of the first
            bucket for 0), as getValueAtPercentile() of HdrHistogram in C and Python. It can
            exceed `max` by the bucket's width. 0 when empty.

        Raises:
            ValueError: `q` is not a percentage.
        """
        if not 0 <= q <= _MAX_PERCENTILE:
            raise ValueError(f"{q} is not a percentile: those are 0 to {_MAX_PERCENTILE}")
        return lib.histogram_percentile(self._c, q)

    def buckets(self) -> Iterator[tuple[int, int, int]]:
        """Yield the lowest and the highest value, both included, and the count of each bucket.

        Empty buckets are left out; the others come in ascending order.
        """
        index = lib.histogram_next(self._c, 0)
        while index < self._c.length:
            yield (
                lib.histogram_lowest_at(self._c, index),
                lib.histogram_highest_at(self._c, index),
                self._c.counts[index],
            )
            index = lib.histogram_next(self._c, index + 1)

    def encode(self) -> str:
        """Return the counts in HdrHistogram's compressed V2 encoding, base64: "HISTFAAA...".

        Exact `min`, `max`, `sum` and `clamped` have no place in it.
        """
        room = ffi.new("uint8_t[]", lib.histogram_encoded_bound(self._c))
        size = lib.histogram_encode(self._c, room)
        packed = zlib.compress(ffi.buffer(room, size))
        return base64.b64encode(_OUTER.pack(_OUTER_COOKIE, len(packed)) + packed).decode()

    @classmethod
    def decode(cls, text: str) -> Self:
        """Read what `encode` wrote, or another HdrHistogram (integers, lowest value 1).

        Args:
            text: the base64 of a compressed V2 encoding; it may come from anywhere.

        Raises:
            ValueError: it is none, or is damaged; says how.
        """
        try:
            return cls._unpack(base64.b64decode(text.strip(), validate=True))
        except (ValueError, zlib.error) as error:
            raise ValueError(f"the histogram {text[:_SHOWN]!r} cannot be read: {error}") from error

    @classmethod
    def _unpack(cls, data: bytes) -> Self:
        """Inflate and decode; never inflates more than the header's range can fill."""
        if len(data) < _OUTER.size:
            raise ValueError("it ends within its cookie")
        cookie, size = _OUTER.unpack_from(data)
        if cookie & ~0xF0 != _OUTER_COOKIE & ~0xF0:
            raise ValueError("it is not in HdrHistogram's compressed V2 encoding")
        if size != len(data) - _OUTER.size:
            raise ValueError(f"it says {size} bytes follow, and {len(data) - _OUTER.size} do")
        inflate = zlib.decompressobj()
        head = inflate.decompress(data[_OUTER.size :], lib.HISTOGRAM_HEADER)
        header = ffi.new("struct histogram_header *")
        _check(lib.histogram_decode_header(header, ffi.from_buffer("uint8_t[]", head), len(head)))
        body = inflate.decompress(inflate.unconsumed_tail, header.payload + 1)
        if len(body) != header.payload or not inflate.eof:
            raise ValueError(f"its counts are not the {header.payload} bytes its header says")
        made = cls(header.highest, header.digits)
        _check(
            lib.histogram_decode_counts(made.cdata, ffi.from_buffer("uint8_t[]", body), len(body))
        )
        return made


def _check(problem: "CString") -> None:
    """Raise what a C decoder found wrong, if anything."""
    if problem:
        raise ValueError(ffi.string(problem).decode())


def write_log(stream: TextIO, intervals: Iterable[tuple[str, float, float, Histogram]]) -> None:
    """Write histograms as a log that HdrHistogram's own tools read and plot.

    Args:
        stream: text to write to.
        intervals: tag, start in seconds, length in seconds, histogram in ns; in order of start.
            The start counts from whatever moment the caller means, often the epoch. A tag has no
            comma and no white space; an empty one is left out.

    Raises:
        ValueError: a tag cannot be written.
    """
    stream.write(
        "#[Histogram log format version 1.3]\n"
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
    )
    for tag, start_s, interval_s, histogram in intervals:
        if any(letter == "," or letter.isspace() for letter in tag):
            raise ValueError(f"the tag {tag!r} has a comma or white space: a log cannot hold it")
        label = f"Tag={tag}," if tag else ""
        highest_ms = histogram.max / _NS_PER_MS
        stream.write(
            f"{label}{start_s:.3f},{interval_s:.3f},{highest_ms:.3f},{histogram.encode()}\n"
        )
