"""Loads the JSON schemas of xengt's documents, and finds keys that they do not describe."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema

import xengt

DOCUMENTS = Path(xengt.__file__).parent / "documents"
_Validator = jsonschema.Draft202012Validator


def load(command: str) -> dict[str, Any]:
    """Return the schema of a command's document, after checking that it is a schema."""
    schema = json.loads((DOCUMENTS / f"{command}.schema.json").read_text(encoding="utf-8"))
    _Validator.check_schema(schema)
    return schema


def validator(command: str) -> _Validator:
    """Return a validator of a command's documents, formats such as date-time included."""
    return _Validator(load(command), format_checker=_Validator.FORMAT_CHECKER)


def undescribed(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield the paths of a JSON schema's keys that have no description.

    Args:
        schema: a JSON schema, with nested objects, arrays and `$defs`.
        path: the path of the schema, the prefix of those of its keys.
    """
    for key, value in schema.get("properties", {}).items():
        if "description" not in value and "const" not in value:
            yield f"{path}.{key}"
        yield from undescribed(value, f"{path}.{key}")
    yield from undescribed(schema["items"], f"{path}[]") if "items" in schema else ()
    for name, definition in schema.get("$defs", {}).items():
        yield from undescribed(definition, f"{path}.$defs.{name}")
