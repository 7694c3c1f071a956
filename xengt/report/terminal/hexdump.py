"""Hexadecimal dumps in the format of `hexdump -C`."""

from collections.abc import Iterator

_LINE_BYTES = 16
_FIRST_PRINTABLE, _LAST_PRINTABLE = 0x20, 0x7E


def hexdump(content: bytes) -> Iterator[str]:
    """Format bytes, 16 to a line; a sequence of equal lines is replaced by one asterisk.

    Args:
        content: the bytes, of any length.

    Yields:
        Lines without line ends. The last one is the length in hexadecimal.
    """
    previous, in_repetition = None, False
    for start in range(0, len(content), _LINE_BYTES):
        line = content[start : start + _LINE_BYTES]
        if line == previous:
            if not in_repetition:
                yield "*"
            in_repetition = True
            continue
        previous, in_repetition = line, False
        # two groups of eight bytes, three characters for each byte
        groups = f"{line[:8].hex(' '):<23}  {line[8:].hex(' '):<23}"
        text = "".join(
            chr(byte) if _FIRST_PRINTABLE <= byte <= _LAST_PRINTABLE else "." for byte in line
        )
        yield f"{start:08x}  {groups}  |{text}|"
    yield f"{len(content):08x}"
