"""The JSON Schema of the bench document, with a property for each dimension."""

from typing import Any

from xengt.bench.case import DECLARED
from xengt.documents.schemas import load


def bench_schema() -> dict[str, Any]:
    """Return the JSON Schema of the document of `xengt bench`.

    xengt/documents/bench.schema.json describes all of it but the dimensions.
    """
    schema = load("bench")
    values = {
        name: {
            "description": f"The values that were asked for. {declared.description}",
            "type": "array",
            "items": dict(declared.schema),
        }
        for name, declared in DECLARED.items()
    }
    _add(schema["properties"]["plan"], values)
    add_dimensions(schema["properties"]["results"]["items"])
    return schema


def add_dimensions(case: dict[str, Any]) -> None:
    """Add a property for each dimension to the schema of an object that contains a case.

    Args:
        case: the schema of the object, which is changed.
    """
    _add(
        case,
        {
            name: {"description": declared.description, **declared.schema}
            for name, declared in DECLARED.items()
        },
    )


def _add(part: dict[str, Any], properties: dict[str, Any]) -> None:
    required = [name for name, declared in DECLARED.items() if declared.recorded_since is None]
    part["properties"] = {**properties, **part["properties"]}
    part["required"] = [*required, *part["required"]]
