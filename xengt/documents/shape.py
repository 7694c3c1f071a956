"""Checks that a JSON value has the shape a dataclass or a TypedDict declares.

The declaration is the only place the keys and types of a document are
written: a reader and a writer that both check against it cannot drift apart.
"""

import math
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

Positive = Annotated[int, 1]
"""A whole number of at least 1; every other number is only required not to be negative."""

_WORDS = {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}


class ShapeError(ValueError):
    """A value that is not what its declaration says; the message names the key."""


def check_shape(
    value: object, declared: type, where: str, *, extra: bool = False
) -> dict[str, Any]:
    """Check a JSON object against a declaration.

    Args:
        value: what the JSON decoder returned.
        declared: a dataclass or a TypedDict. Its annotations are the keys; a
            field that is itself such a class is an object, `tuple[X, ...]`
            and `list[X]` are arrays, `NotRequired[X]` may be left out, and what
            is `Any` is checked elsewhere.
        where: what to call the value in a message, such as `results[3]`.
        extra: whether keys that are not declared are let through.

    Returns:
        The value, now known to hold every key that is declared and required, with its type.

    Raises:
        ShapeError: a key is missing, unknown, or of the wrong type.
    """
    if not isinstance(value, Mapping):
        raise ShapeError(f"{where} is not an object")
    hints = get_type_hints(declared, include_extras=True)
    for key, hint in hints.items():
        optional = get_origin(hint) is NotRequired
        if key in value:
            _check(value[key], get_args(hint)[0] if optional else hint, f"{where}.{key}")
        elif not optional:
            raise ShapeError(f'{where} has no "{key}"')
    for key in value:
        if key not in hints and not extra:
            raise ShapeError(f'{where} has an unknown key "{key}"')
    return dict(value)


def _check(value: object, hint: Any, where: str) -> None:  # noqa: ANN401 (a type is any object)
    origin, of = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        if value is not None:
            _check(value, next(each for each in of if each is not NoneType), where)
    elif origin is Literal:
        if value not in of:
            raise ShapeError(f"{where} is not one of {', '.join(of)}")
    elif origin in (list, tuple):
        if not isinstance(value, list | tuple):
            raise ShapeError(f"{where} is not an array")
        for index, item in enumerate(value):
            _check(item, of[0], f"{where}[{index}]")
    elif origin is Annotated or hint in _WORDS:
        kind, least = of or (hint, 0)
        _check_scalar(value, kind, least, where)
    elif hint is not Any:
        check_shape(value, hint, where)


def _check_scalar(value: object, kind: type, least: int, where: str) -> None:
    fits: type | tuple[type, ...] = (int, float) if kind is float else kind
    if not isinstance(value, fits) or (isinstance(value, bool) and kind is not bool):
        raise ShapeError(f"{where} is not {_WORDS[kind]}")
    if isinstance(value, int | float) and not (math.isfinite(value) and value >= least):
        raise ShapeError(f"{where} is {value}, not a finite number from {least} on")
