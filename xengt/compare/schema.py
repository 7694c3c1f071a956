"""The JSON Schema of the document of `xengt compare`, with a property for each dimension."""

from typing import Any

from xengt.bench.schema import add_dimensions
from xengt.documents.schemas import load


def compare_schema() -> dict[str, Any]:
    """Return the JSON Schema of the document of `xengt compare`.

    xengt/documents/compare.schema.json describes all of it but the dimensions.
    """
    schema = load("compare")
    add_dimensions(schema["properties"]["results"]["items"])
    add_dimensions(schema["$defs"]["case"])
    return schema
