"""Options of several values: repeated, or separated by commas."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from xengt.errors import UnmetError

_T = TypeVar("_T")


def several(option: str, given: Sequence[str], parse: Callable[[str], _T]) -> list[_T]:
    """Return every value of an option once, in the order given.

    Args:
        option: its name, for the error.
        given: the option's arguments, one for each time the option was given.
        parse: returns the value of a word; its ValueError says which words are valid.

    Raises:
        UnmetError: a word is not a valid value of this option.
    """
    values: dict[_T, None] = {}
    for word in (word.strip() for text in given for word in text.split(",")):
        try:
            values[parse(word)] = None
        except ValueError as error:
            raise UnmetError(
                f"{option} {word!r}: {error}", f"see xengt bench --help, {option}"
            ) from error
    return list(values)
