"""Names of domains as text that cannot harm a terminal, a table, a log or a document.

A toolstack accepts any bytes as a name. `XenStore.name_of` returns every name through
`printable`, so that all outputs show the same text.
"""

_BACKSLASH = "\\"
_LAST_ASCII = 0x7F
_LAST_OF_FOUR_DIGITS = 0xFFFF
#: what surrogateescape adds to a byte that is not UTF-8
_SURROGATE = 0xDC00


def printable(name: bytes) -> str:
    r"""Return a name with escapes for everything that is not a printable character.

    Escaped are control and format characters, such as ESC, newline and U+202E
    (right-to-left override), unassigned characters, separators other than the space,
    bytes that are not UTF-8, and the backslash, so that different names stay different.

    Args:
        name: the name in XenStore, in UTF-8 or not.

    Returns:
        Printable characters: `\x1b` for a byte, `\u202e` or `\U000e0001` for a character
        above U+007F, and a double backslash for a backslash.
    """
    return "".join(map(_escaped, name.decode(errors="surrogateescape")))


def typed(text: str) -> str:
    """Return text of the command line without characters that are not printable.

    Args:
        text: an argument; printable text, such as a name that xengt has printed, is
            returned as it is.
    """
    return text if text.isprintable() else printable(text.encode(errors="surrogateescape"))


def _escaped(character: str) -> str:
    code = ord(character)
    if character == _BACKSLASH:
        return 2 * _BACKSLASH
    if character.isprintable():
        return character
    if _SURROGATE <= code <= _SURROGATE + 0xFF:
        code -= _SURROGATE
    elif code > _LAST_ASCII:
        return f"\\u{code:04x}" if code <= _LAST_OF_FOUR_DIGITS else f"\\U{code:08x}"
    return f"\\x{code:02x}"
