"""The JSON Schema of the document of `xengt scaling`, with a property for each dimension."""

from typing import Any

from xengt.bench.schema import add_dimensions
from xengt.documents.schemas import load


def scaling_schema() -> dict[str, Any]:
    """Return the JSON Schema of the document of `xengt scaling`.

    xengt/documents/scaling.schema.json describes all of it but the dimensions.
    """
    schema = load("scaling")
    results = schema["properties"]["results"]["items"]
    add_dimensions(results)
    # `throughputs` has the numbers of threads.
    del results["properties"]["threads"]
    results["required"].remove("threads")
    return schema
