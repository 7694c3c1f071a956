"""`xengt schema`: the JSON Schema of a command's document."""

import json
from enum import StrEnum
from typing import Annotated, Any

import typer

from xengt.bench.schema import bench_schema
from xengt.compare.schema import compare_schema
from xengt.documents.schemas import load


class Documented(StrEnum):
    """The commands with a document."""

    BENCH = "bench"
    CHECK = "check"
    COMPARE = "compare"
    HANDLE = "handle"
    MAP = "map"
    PLAN = "plan"
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
    if command is Documented.BENCH:
        return bench_schema()
    return compare_schema() if command is Documented.COMPARE else load(command)
