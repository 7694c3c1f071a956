"""What every schema of a document has to have."""

from collections.abc import Iterator
from typing import Any


def undescribed(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield the keys of a JSON schema, at any depth, that it does not describe."""
    for key, value in schema.get("properties", {}).items():
        if "description" not in value and "const" not in value:
            yield f"{path}.{key}"
        yield from undescribed(value, f"{path}.{key}")
    yield from undescribed(schema["items"], f"{path}[]") if "items" in schema else ()
