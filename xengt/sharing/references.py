"""Grant references: the pattern that marks the page of each, and lists of them as text.

`xengt share` and the guest granter use the same pattern and the same text.
"""

import re
import struct
from collections.abc import Sequence
from typing import NamedTuple

#: "xngt" in the upper half, so that no page of zeros or of ones passes for shared.
MAGIC = 0x786E_6774_0000_0000
WORD = struct.Struct("<Q")

#: As many as 256 frames of a version 1 grant table hold; Xen's default is 64 frames.
MAX_REFERENCES = 131_072

_RANGE = re.compile(r"([0-9]{1,10})(?:-([0-9]{1,10}))?", re.ASCII)
_GREF_END = 1 << 32


class Reference(NamedTuple):
    """A grant reference, and what the page behind it begins and ends with."""

    domid: int
    gref: int
    pattern: int


def pattern(domid: int, gref: int) -> int:
    """Give the 64-bit word that the first and the last 8 bytes of a shared page hold.

    It is MAGIC ^ (domid << 32) ^ gref, stored little endian: different for any two
    references of any two domains, so a mapper that reads it knows which page it has.

    Args:
        domid: the granter's domid, 0 to 0x7fff.
        gref: the grant reference, 0 to 0xffffffff.
    """
    return MAGIC ^ (domid << 32) ^ gref


def stamp(page: memoryview, domid: int, gref: int) -> None:
    """Write a page's pattern to its first and last 8 bytes."""
    word = pattern(domid, gref)
    WORD.pack_into(page, 0, word)
    WORD.pack_into(page, page.nbytes - WORD.size, word)


def encode(grefs: Sequence[int]) -> str:
    """Write references as ranges in the order given: "8-263,300"."""
    ranges: list[list[int]] = []
    for gref in grefs:
        if ranges and ranges[-1][1] + 1 == gref:
            ranges[-1][1] = gref
        else:
            ranges.append([gref, gref])
    return ",".join(f"{low}" if low == high else f"{low}-{high}" for low, high in ranges)


def decode(text: str, limit: int = MAX_REFERENCES) -> list[int]:
    """Read references back from ranges; the text is another domain's and may be anything.

    Args:
        text: what `encode` wrote.
        limit: how many references at most; none are made before they are counted.

    Raises:
        ValueError: not ranges, a reference twice, or more than `limit` of them.
    """
    if not text:
        return []
    bounds = [_bounds(part) for part in text.split(",", maxsplit=limit)]
    count = sum(high - low + 1 for low, high in bounds)
    if count > limit:
        raise ValueError(f"{count} references, {limit} at most")
    grefs = [gref for low, high in bounds for gref in range(low, high + 1)]
    if len(set(grefs)) < count:
        raise ValueError("a reference is there twice")
    return grefs


def _bounds(part: str) -> tuple[int, int]:
    """Read one range's two ends."""
    match = _RANGE.fullmatch(part)
    if match is None:
        raise ValueError(f"{part[:40]!r} is no range of references")
    low = int(match[1])
    high = int(match[2] or match[1])
    if not low <= high < _GREF_END:
        raise ValueError(f"{part!r} is no range of references")
    return low, high
