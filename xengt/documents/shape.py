"""Checks that a JSON value has the shape that a dataclass or a TypedDict declares.

The declaration is the only place where the keys and types of a document are
written: its reader and its writer check against the same one.
"""

import math
from collections.abc import Mapping
from enum import Enum
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
"""A whole number of at least 1; the minimum of every other number is 0."""

_WORDS = {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}


class ShapeError(ValueError):
    """A value does not have the declared shape; the message names the key."""


def check_shape(
    value: object, declared: type, where: str, *, extra: bool = False
) -> dict[str, Any]:
    """Check a JSON object against a declaration.

    Args:
        value: what the JSON decoder returned.
        declared: a dataclass or a TypedDict. Its annotations are the keys. A field
            whose type is such a class is an object, `tuple[X, ...]` and `list[X]`
            are arrays, `NotRequired[X]` is optional, an enumeration is one of its
            values, and `Any` is checked elsewhere.
        where: the name of the value in an error, such as `results[3]`.
        extra: whether undeclared keys are accepted.

    Returns:
        The value: it has every declared key with the declared type.

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
    minimum = 0
    if get_origin(hint) is Annotated:
        hint, *metadata = get_args(hint)
        minimum = next((each for each in metadata if isinstance(each, int)), 0)
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in _WORDS:
        _check_scalar(value, hint, minimum, where)
    elif origin in (Union, UnionType):
        if value is not None:
            _check(value, next(each for each in arguments if each is not NoneType), where)
    elif origin in (list, tuple):
        _check_array(value, arguments[0], where)
    elif origin is Literal or (isinstance(hint, type) and issubclass(hint, Enum)):
        _check_choice(value, arguments or tuple(hint), where)
    elif hint is not Any:
        check_shape(value, hint, where)


def _check_array(value: object, item_hint: Any, where: str) -> None:  # noqa: ANN401 (as above)
    if not isinstance(value, list | tuple):
        raise ShapeError(f"{where} is not an array")
    for index, item in enumerate(value):
        _check(item, item_hint, f"{where}[{index}]")


def _check_choice(value: object, choices: tuple[Any, ...], where: str) -> None:
    if value not in choices:
        raise ShapeError(f"{where} is not one of {', '.join(choices)}")


def _check_scalar(value: object, kind: type, minimum: int, where: str) -> None:
    accepted: type | tuple[type, ...] = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise ShapeError(f"{where} is not {_WORDS[kind]}")
    if isinstance(value, int | float) and not (math.isfinite(value) and value >= minimum):
        raise ShapeError(f"{where} is {value}, not a finite number of at least {minimum}")
