"""Pages in parts, each of which is compressed once, however many pages have it."""

import struct
import zlib
from collections.abc import Sequence
from functools import cached_property

#: takes half the instructions of zlib's default level, and the page is hardly larger
_LEVEL = 1
#: a deflate stream without a header and a checksum
_RAW = -zlib.MAX_WBITS
#: below zlib's default of 8, because its hash table is moved and cleared as a whole
_MEMORY_LEVEL = 5
#: zlib moves its tables before the next byte, which takes as long as compressing so many
_LONGEST_STREAM = 60_000
#: RFC 1952: deflate, no flags, no time, the fastest algorithm, an unknown system
_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\x04\xff"
#: RFC 1951: the last block of a stream, without content
_LAST_BLOCK = b"\x03\0"


class Part:
    """A part of a page.

    Attributes:
        content: the part, uncompressed.

    Args:
        content: see above.
    """

    def __init__(self, content: bytes) -> None:
        """Compress nothing yet."""
        self.content = content

    @cached_property
    def blocks(self) -> bytes:
        """The part as blocks of a deflate stream.

        They end at a byte boundary, none is marked as the last one, and they refer to no block
        before them. So the blocks of several parts, one after the other, are a stream as well.
        """
        blocks = []
        for begin in range(0, len(self.content), _LONGEST_STREAM):
            stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW, _MEMORY_LEVEL)
            blocks.append(stream.compress(self.content[begin : begin + _LONGEST_STREAM]))
            blocks.append(stream.flush(zlib.Z_FULL_FLUSH))
        return b"".join(blocks)


def join(parts: Sequence[Part]) -> bytes:
    """Return the page that consists of these parts."""
    return b"".join(part.content for part in parts)


def compress(parts: Sequence[Part]) -> bytes:
    """Return the page that consists of these parts as a gzip file."""
    page = join(parts)
    end = struct.pack("<LL", zlib.crc32(page), len(page) & 0xFFFFFFFF)
    return b"".join((_HEADER, *(part.blocks for part in parts), _LAST_BLOCK, end))
