"""The JSON Schema of the document of `xengt break-even`, with a property for each dimension."""

from typing import Any

from xengt.bench.schema import add_dimensions
from xengt.documents.schemas import load


def break_even_schema() -> dict[str, Any]:
    """Return the JSON Schema of the document of `xengt break-even`.

    xengt/documents/break-even.schema.json describes all of it but the dimensions.
    """
    schema = load("break-even")
    add_dimensions(schema["properties"]["results"]["items"])
    return schema
