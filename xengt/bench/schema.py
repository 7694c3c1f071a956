"""The JSON Schema of the bench document, with a property for each dimension."""

from typing import Any

from xengt.bench.case import DECLARED
from xengt.documents.schemas import load


def bench_schema() -> dict[str, Any]:
    """Return the JSON Schema of the document of `xengt bench`.

    xengt/documents/bench.schema.json describes all of it but the dimensions.
    """
    schema = load("bench")
    plan = schema["properties"]["plan"]
    result = schema["properties"]["results"]["items"]
    values, value = {}, {}
    for name, declared in DECLARED.items():
        value[name] = {"description": declared.description, **declared.schema}
        values[name] = {
            "description": f"The values that were asked for. {declared.description}",
            "type": "array",
            "items": dict(declared.schema),
        }
    required = [name for name, declared in DECLARED.items() if declared.recorded_since is None]
    for part, properties in ((plan, values), (result, value)):
        part["properties"] = {**properties, **part["properties"]}
        part["required"] = [*required, *part["required"]]
    return schema
