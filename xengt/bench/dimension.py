"""What is declared of one dimension of a benchmark, and how its values are read and written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

NUMBER: Mapping[str, Any] = {"type": "integer", "minimum": 1}
"""The JSON Schema of a count."""


@dataclass(frozen=True, eq=False)
class Dimension:
    """The declaration of a dimension, in the annotation of a field of `Setup`.

    Args:
        description: for the option's help and for the schema.
        parse: returns the value that a word of the command line stands for; its
            ValueError says which words are valid.
        schema: the JSON Schema of one value.
        default: the words that are measured when the option is not given; empty
            where the plan computes the values, or measures the field's default only.
        default_text: what the help shows as the default, in place of those words.
        outermost: whether it varies least often within a run, because changing
            it means creating other granters.
        recorded_since: the document version that first had the key; None for a
            key that every version has. Older documents get the field's default.
    """

    description: str
    parse: Callable[[str], Any]
    schema: Mapping[str, Any]
    default: tuple[str, ...] = ()
    default_text: str = ""
    outermost: bool = False
    recorded_since: int | None = None

    @property
    def has_words(self) -> bool:
        """Whether the values are words, not numbers or yes and no."""
        return "enum" in self.schema or self.schema.get("type") == "string"


def integer(low: int, high: int | None = None) -> Callable[[str], int]:
    """Return a parser of whole numbers within bounds.

    Args:
        low: the smallest valid number.
        high: the largest valid number; None for no bound.
    """

    def parse(word: str) -> int:
        if not word.isdecimal() or not low <= int(word) <= (int(word) if high is None else high):
            bounds = f"of at least {low}" if high is None else f"from {low} to {high}"
            raise ValueError(f"expected a whole number {bounds}")
        return int(word)

    return parse


def positive(word: str) -> float:
    """Parse a number above zero."""
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError("expected a number above 0")
    return value


def one_of(*words: str) -> Callable[[str], str]:
    """Return a parser that accepts the given words only."""

    def parse(word: str) -> str:
        if word not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return word

    return parse


def yes_or_no(word: str) -> bool:
    """Parse `yes` or `no`."""
    return one_of("no", "yes")(word) == "yes"


def value_text(value: object) -> str:
    """Write one value of a dimension.

    Args:
        value: as a case or a plan holds it.
    """
    if value is None:
        return "unlimited"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, str) else f"{value:,g}"
