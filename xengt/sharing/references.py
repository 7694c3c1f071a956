"""Grant references: the pattern in the page of each, and lists of references as text.

`xengt share`, the granters of `xengt bench` and `xengt map` use the same pattern;
README.md in this directory describes it.
"""

import re
import struct
from collections.abc import Sequence
from typing import NamedTuple

#: "xngt" in the upper half; no page of zeros or of ones has the pattern of a reference
MAGIC = 0x786E_6774_0000_0000
WORD = struct.Struct("<Q")

#: the entries of 256 frames of a version 1 grant table; Xen's default limit is 64 frames
MAX_REFERENCES = 131_072

#: decimal, as `xengt share` prints it, or hexadecimal, as the kernel logs it
_NUMBER = "([0-9]{1,10}|0[xX][0-9a-fA-F]{1,8})"
_RANGE = re.compile(f"{_NUMBER}(?:-{_NUMBER})?", re.ASCII)
_GREF_END = 1 << 32


class Reference(NamedTuple):
    """A grant reference.

    Args:
        domid: the granter.
        gref: the reference in the granter's table.
        pattern: the 64-bit word that the granted page begins and ends with.
    """

    domid: int
    gref: int
    pattern: int


def pattern(domid: int, gref: int) -> int:
    """Return the 64-bit word in the first and the last 8 bytes of a shared page.

    The word is MAGIC ^ (domid << 32) ^ gref, stored little-endian. It differs between
    any two references of any two domains, so a mapper that reads it can identify the
    page.

    Args:
        domid: the granter, 0 to 0x7fff.
        gref: the reference in the granter's table, 0 to 0xffffffff.
    """
    return MAGIC ^ (domid << 32) ^ gref


def stamp(page: memoryview, domid: int, gref: int) -> None:
    """Write the pattern of a reference to the first and last 8 bytes of its page.

    Args:
        page: the bytes of the page, writable.
        domid: the granter.
        gref: the reference in the granter's table.
    """
    word = pattern(domid, gref)
    WORD.pack_into(page, 0, word)
    WORD.pack_into(page, page.nbytes - WORD.size, word)


def format_grefs(grefs: Sequence[int]) -> str:
    """Return references as ranges in the given order, such as "8-263,300"."""
    ranges: list[list[int]] = []
    for gref in grefs:
        if ranges and ranges[-1][1] + 1 == gref:
            ranges[-1][1] = gref
        else:
            ranges.append([gref, gref])
    return ",".join(f"{low}" if low == high else f"{low}-{high}" for low, high in ranges)


def parse_grefs(text: str, limit: int = MAX_REFERENCES) -> list[int]:
    """Parse ranges of references, which another domain may have written.

    Args:
        text: ranges in the format of `format_grefs`; numbers may be hexadecimal (0x1a3).
        limit: maximum number of references; no list longer than this is created.

    Raises:
        ValueError: the text is not a list of ranges, contains a reference twice, or
            contains more than `limit` references.
    """
    if not text:
        return []
    bounds = [_bounds(part) for part in text.split(",", maxsplit=limit)]
    count = sum(high - low + 1 for low, high in bounds)
    if count > limit:
        raise ValueError(f"{count} references exceed the limit of {limit}")
    grefs = [gref for low, high in bounds for gref in range(low, high + 1)]
    if len(set(grefs)) < count:
        raise ValueError("a reference occurs twice")
    return grefs


def _bounds(part: str) -> tuple[int, int]:
    """Parse the two ends of one range."""
    match = _RANGE.fullmatch(part)
    if match is None:
        raise ValueError(f"{part[:40]!r} is not a range of references")
    ends = (match[1], match[2] or match[1])
    low, high = (int(number, 16 if "x" in number.lower() else 10) for number in ends)
    if not low <= high < _GREF_END:
        raise ValueError(f"{part!r} is not a range of references")
    return low, high
