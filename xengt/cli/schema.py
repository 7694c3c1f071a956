"""`xengt schema`: the JSON Schema of a command's document."""

import json
from enum import StrEnum
from typing import Annotated, Any

import typer

from xengt.bench.schema import bench_schema
from xengt.break_even.schema import break_even_schema
from xengt.compare.schema import compare_schema
from xengt.documents.schemas import load
from xengt.scaling.schema import scaling_schema


class Documented(StrEnum):
    """The commands with a document."""

    BENCH = "bench"
    BREAK_EVEN = "break-even"
    CHECK = "check"
    COMPARE = "compare"
    HANDLE = "handle"
    MAP = "map"
    PLAN = "plan"
    SCALING = "scaling"
    SERVE = "serve"
    SHARE = "share"
    USAGE = "usage"


def schema(
    command: Annotated[Documented, typer.Argument(help="The command that writes the document.")],
) -> None:
    """Print the JSON Schema of the document that a command writes with --json.

    The schema (draft 2020-12) describes every key with its unit.

    Example: xengt schema bench > bench.schema.json
    """
    print(json.dumps(schema_of(command), indent=2, ensure_ascii=False))


def schema_of(command: Documented) -> dict[str, Any]:
    """Return the JSON Schema of a command's document."""
    with_dimensions = {
        Documented.BENCH: bench_schema,
        Documented.BREAK_EVEN: break_even_schema,
        Documented.COMPARE: compare_schema,
        Documented.SCALING: scaling_schema,
    }
    return with_dimensions[command]() if command in with_dimensions else load(command)
