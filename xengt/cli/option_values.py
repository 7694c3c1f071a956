"""Options of several values: repeated, or with commas."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from xengt.errors import UnmetError

_T = TypeVar("_T")


def several(option: str, given: Sequence[str], read: Callable[[str], _T]) -> list[_T]:
    """Every value of an option, in order and each once.

    Args:
        option: its name, for the message.
        given: what stood on the command line, once for each time it was given.
        read: makes a value of a word, or raises ValueError saying what it wants.

    Raises:
        UnmetError: a word is not a value of this option.
    """
    values: dict[_T, None] = {}
    for word in (word.strip() for text in given for word in text.split(",")):
        try:
            values[read(word)] = None
        except ValueError as error:
            raise UnmetError(
                f"{option} {word!r}: {error}", f"see xengt bench --help, {option}"
            ) from error
    return list(values)


def integer(low: int, high: int | None = None) -> Callable[[str], int]:
    """A reader of whole numbers within bounds."""

    def read(word: str) -> int:
        bounds = f"a whole number from {low}" + (f" to {high}" if high is not None else " on")
        if not word.isdecimal() or not low <= int(word) <= (int(word) if high is None else high):
            raise ValueError(f"{bounds} is wanted")
        return int(word)

    return read


def positive(word: str) -> float:
    """Read a number above zero."""
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError("a number above 0 is wanted")
    return value


def one_of(*words: str) -> Callable[[str], str]:
    """A reader of some words and no others."""

    def read(word: str) -> str:
        if word not in words:
            raise ValueError(f"one of {', '.join(words)} is wanted")
        return word

    return read


def granter(word: str) -> str:
    """Read `empty`, `self`, `guest`, `guest:NAME` or `guest:DOMID`."""
    if word in {"empty", "self", "guest"} or (word.startswith("guest:") and word != "guest:"):
        return word
    raise ValueError("empty, self, guest, guest:NAME or guest:DOMID is wanted")
