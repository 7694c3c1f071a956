"""Pages in hexadecimal, as `hexdump -C` has them."""

from collections.abc import Iterator

_WIDTH = 16
_FIRST, _LAST = 0x20, 0x7E


def hexdump(content: bytes) -> Iterator[str]:
    """Write bytes 16 a line; lines that are as the one before are one asterisk.

    Args:
        content: of any length.
    """
    before, skipped = None, False
    for start in range(0, len(content), _WIDTH):
        part = content[start : start + _WIDTH]
        if part == before:
            if not skipped:
                yield "*"
            skipped = True
            continue
        before, skipped = part, False
        # two groups of eight, each byte three wide
        groups = f"{part[:8].hex(' '):<23}  {part[8:].hex(' '):<23}"
        text = "".join(chr(byte) if _FIRST <= byte <= _LAST else "." for byte in part)
        yield f"{start:08x}  {groups}  |{text}|"
    yield f"{len(content):08x}"
