"""Checks that every schema of a document has to pass."""

from collections.abc import Iterator
from typing import Any


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
