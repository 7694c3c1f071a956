"""A histogram for the timed loop, in the layout and the encodings of HdrHistogram."""

import base64
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Self, TextIO

from xenlib_cffi._histogram import ffi, lib

if TYPE_CHECKING:  # only the stub has names for C types
    from xenlib_cffi._histogram import CArray, CHistogram

_HOUR_NS = 3_600_000_000_000
_INT64_MAX = 2**63 - 1
_MAX_DIGITS = 5
_MAX_PERCENTILE = 100
_NS_PER_MS = 1_000_000
# Number of characters of an invalid encoding in the message of the exception.
_EXCERPT_LENGTH = 24
# Header of the compressed V2 encoding: the cookie and the number of bytes that follow.
_OUTER = struct.Struct(">II")
_OUTER_COOKIE = 0x1C849304 | 0x10


class Histogram:
    """A histogram of values from 0 to `highest` with a given number of significant digits.

    The caller chooses the unit of the values; the timed loop records nanoseconds. The arithmetic is
    in C (csrc/histogram.c) and runs with the GIL released. A histogram is not thread-safe: use one
    per thread and merge them.

    Args:
        highest: the highest distinguishable value, 2 to 2^63 - 1. Larger values are recorded as
            this one and counted in `clamped`. The default is an hour in nanoseconds.
        digits: number of significant decimal digits, 1 to 5. Each digit needs ten times the memory;
            with 3 digits, a histogram of up to an hour takes 264 KiB.

    Raises:
        ValueError: `highest` or `digits` is out of range.
        MemoryError: there is not enough memory for the counts.
    """

    def __init__(self, highest: int = _HOUR_NS, digits: int = 3) -> None:
        """Create an empty histogram."""
        if not (2 <= highest <= _INT64_MAX and 1 <= digits <= _MAX_DIGITS):  # noqa: PLR2004
            raise ValueError(
                f"a histogram up to {highest} with {digits} significant digits is not possible: "
                f"highest must be 2 to {_INT64_MAX}, digits must be 1 to {_MAX_DIGITS}"
            )
        histogram = lib.histogram_new(highest, digits)
        if not histogram:
            raise MemoryError(
                f"not enough memory for a histogram up to {highest} with {digits} digits"
            )
        self._c = ffi.gc(histogram, lib.histogram_free, 8 * histogram.length)

    @property
    def cdata(self) -> "CHistogram":
        """The `struct histogram *` for C code; it is freed with this object."""
        return self._c

    @property
    def highest(self) -> int:
        """The highest distinguishable value."""
        return self._c.highest

    @property
    def digits(self) -> int:
        """The number of significant decimal digits."""
        return self._c.digits

    @property
    def count(self) -> int:
        """The number of recorded values."""
        return self._c.total

    @property
    def clamped(self) -> int:
        """The number of recorded values above `highest`, which are counted as `highest`."""
        return self._c.clamped

    @property
    def min(self) -> int:
        """The smallest value, exact unless decoded; 0 if empty."""
        return self._c.min if self._c.total else 0

    @property
    def max(self) -> int:
        """The largest value, exact unless clamped or decoded; 0 if empty."""
        return self._c.max

    @property
    def sum(self) -> int:
        """The exact sum of the values (of the middles of the buckets after `decode`).

        It saturates at 2^64 - 1; in nanoseconds, these are 584 years.
        """
        return self._c.sum

    @property
    def mean(self) -> float:
        """The mean, computed from the middles of the buckets as in HdrHistogram; 0 if empty."""
        return lib.histogram_mean(self._c)

    @property
    def stdev(self) -> float:
        """The standard deviation, computed like the mean; 0 if empty."""
        return lib.histogram_stdev(self._c)

    def record(self, value: int, count: int = 1) -> None:
        """Record a value.

        Args:
            value: the value, 0 or more.
            count: how many times to record it, 0 or more.

        Raises:
            ValueError: `value` or `count` is negative.
            OverflowError: the number of values would exceed 2^63 - 1.
        """
        if value < 0 or count < 0:
            raise ValueError(f"value {value} and count {count} must not be negative")
        # A value that does not fit in 64 bits is above `highest` and is clamped to it.
        if not lib.histogram_record_count(
            self._c, min(value, _INT64_MAX + 1), min(count, _INT64_MAX)
        ):
            raise OverflowError(
                f"{count} values in addition to {self.count} exceed the maximum of {_INT64_MAX}"
            )

    def record_corrected(self, value: int, interval: int) -> None:
        """Record a value and correct for coordinated omission.

        It also records the latencies of the calls that were due while the caller waited:
        `value - interval`, `value - 2 * interval`, ..., down to `interval`. This corresponds to
        recordValueWithExpectedInterval() of HdrHistogram.

        Args:
            value: the value, 0 or more.
            interval: time between the intended starts of two calls, in the unit of the value; 0
                corrects nothing.

        Raises:
            ValueError: `value` or `interval` is negative.
        """
        if value < 0 or interval < 0:
            raise ValueError(f"value {value} and interval {interval} must not be negative")
        lib.histogram_record_corrected(
            self._c, min(value, _INT64_MAX + 1), min(interval, _INT64_MAX)
        )

    def merge(self, other: "Histogram") -> None:
        """Add the counts of another histogram.

        If the layouts differ, each count is added at the lowest value of its bucket, as in add() of
        HdrHistogram. `min`, `max` and `sum` stay exact unless values exceed `highest`.

        Args:
            other: a histogram of any range and any number of digits; it is not changed.

        Raises:
            OverflowError: the number of values would exceed 2^63 - 1; nothing is added.
        """
        if not lib.histogram_merge(self._c, other.cdata):
            raise OverflowError(
                f"{other.count} values in addition to {self.count} exceed the maximum of "
                f"{_INT64_MAX}"
            )

    def reset(self) -> None:
        """Remove all values."""
        lib.histogram_reset(self._c)

    def percentile(self, q: float) -> int:
        """Return a percentile.

        Args:
            q: the percentage, 0 to 100.

        Returns:
            The largest value of the bucket that contains the percentile (for 0, the smallest value
            of the first non-empty bucket), as getValueAtPercentile() of HdrHistogram in C and
            Python. It can exceed `max` by the width of the bucket. 0 if the histogram is empty.

        Raises:
            ValueError: `q` is not 0 to 100.
        """
        if not 0 <= q <= _MAX_PERCENTILE:
            raise ValueError(f"the percentile {q} is not between 0 and {_MAX_PERCENTILE}")
        return lib.histogram_percentile(self._c, q)

    def buckets(self) -> Iterator[tuple[int, int, int]]:
        """Yield the non-empty buckets in ascending order.

        Yields:
            The lowest and the highest value of the bucket, both inclusive, and its count.
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
        """Encode the counts in the compressed V2 encoding of HdrHistogram, in base64.

        The encoding does not contain the exact `min`, `max` and `sum`, nor `clamped`.

        Returns:
            Text that begins with "HISTFAAA".
        """
        encoded = ffi.new("uint8_t[]", lib.histogram_encoded_bound(self._c))
        size = lib.histogram_encode(self._c, encoded)
        compressed = zlib.compress(ffi.buffer(encoded, size))
        return base64.b64encode(_OUTER.pack(_OUTER_COOKIE, len(compressed)) + compressed).decode()

    @classmethod
    def decode(cls, text: str) -> Self:
        """Decode a histogram of integers with the lowest discernible value 1.

        Args:
            text: a compressed V2 encoding of HdrHistogram, in base64; it need not be trusted.

        Raises:
            ValueError: the text is not such an encoding, or it is damaged.
        """
        try:
            return cls._unpack(base64.b64decode(text.strip(), validate=True))
        except (ValueError, zlib.error) as error:
            raise ValueError(
                f"the histogram {text[:_EXCERPT_LENGTH]!r} cannot be decoded: {error}"
            ) from error

    @classmethod
    def _unpack(cls, data: bytes) -> Self:
        """Decompress and decode, without decompressing more than the range of the header allows."""
        if len(data) < _OUTER.size:
            raise ValueError("it ends within the cookie")
        cookie, size = _OUTER.unpack_from(data)
        if cookie & ~0xF0 != _OUTER_COOKIE & ~0xF0:
            raise ValueError("it is not in the compressed V2 encoding of HdrHistogram")
        if size != len(data) - _OUTER.size:
            raise ValueError(f"its length is {len(data) - _OUTER.size} bytes instead of {size}")
        inflate = zlib.decompressobj()
        head = inflate.decompress(data[_OUTER.size :], lib.HISTOGRAM_HEADER)
        header = ffi.new("struct histogram_header *")
        _check(lib.histogram_decode_header(header, ffi.from_buffer("uint8_t[]", head), len(head)))
        body = inflate.decompress(inflate.unconsumed_tail, header.payload + 1)
        if len(body) != header.payload or not inflate.eof:
            raise ValueError(f"its counts do not have {header.payload} bytes as its header says")
        histogram = cls(header.highest, header.digits)
        _check(
            lib.histogram_decode_counts(
                histogram.cdata, ffi.from_buffer("uint8_t[]", body), len(body)
            )
        )
        return histogram


def _check(problem: "CArray[bytes]") -> None:
    """Raise a ValueError with the error of a C decoder, unless it is NULL."""
    if problem:
        raise ValueError(ffi.string(problem).decode())


def write_log(stream: TextIO, intervals: Iterable[tuple[str, float, float, Histogram]]) -> None:
    """Write histograms in the log format that the tools of HdrHistogram read.

    Args:
        stream: text stream to write to.
        intervals: (tag, start in seconds, length in seconds, histogram in ns) of each interval, in
            order of start. The starts are relative to any time, often the epoch. A tag must not
            contain commas or white space; an empty tag is omitted.

    Raises:
        ValueError: a tag contains a comma or white space.
    """
    stream.write(
        "#[Histogram log format version 1.3]\n"
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
    )
    for tag, start_s, interval_s, histogram in intervals:
        if any(letter == "," or letter.isspace() for letter in tag):
            raise ValueError(f"the tag {tag!r} contains a comma or white space")
        label = f"Tag={tag}," if tag else ""
        highest_ms = histogram.max / _NS_PER_MS
        stream.write(
            f"{label}{start_s:.3f},{interval_s:.3f},{highest_ms:.3f},{histogram.encode()}\n"
        )
