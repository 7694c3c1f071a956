"""The `xengt.bench/1` document: what one run of `xengt bench` found, and on which host.

`xengt/documents/bench.schema.json` says what every key means and in which unit.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict, cast

import xengt
from xengt.bench.result import Result
from xengt.documents.shape import Positive, ShapeError, check_shape
from xengt.errors import UnmetError
from xengt.xen.host import Host

SCHEMA = "xengt.bench/1"


class PlanRecord(TypedDict):
    """What was asked for: the cases are the product of the lists."""

    engine: list[str]
    granter: list[str]
    granters: list[Positive]
    references: list[Positive]
    batch: list[Positive]
    threads: list[Positive]
    mappings: list[Positive]
    readonly: list[bool]
    hold: list[int]
    rate: list[float | None]
    samples: Positive | None
    duration_s: float | None
    digits: Positive


class _Top(TypedDict):
    schema: str
    xengt: str
    created: str
    host: Any
    plan: Any
    results: list[Any]


@dataclass(frozen=True, slots=True)
class BenchDocument:
    """One run.

    Args:
        xengt: the version that wrote it.
        created: when, as ISO 8601 in UTC.
        host: the machine, its hypervisor and its boot.
        plan: what was asked for.
        results: what was found, one for each case and operation.
    """

    xengt: str
    created: str
    host: Host
    plan: PlanRecord
    results: tuple[Result, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the document as `bench.schema.json` describes it."""
        return {
            "schema": SCHEMA,
            "xengt": self.xengt,
            "created": self.created,
            "host": dict(self.host),
            "plan": dict(self.plan),
            "results": [result.to_json() for result in self.results],
        }

    @classmethod
    def from_json(cls, value: object) -> "BenchDocument":
        """Check and take over a document.

        Args:
            value: what the JSON decoder returned.

        Raises:
            ShapeError: a key is missing, unknown, or of the wrong type.
        """
        top = check_shape(value, _Top, "the document")
        # Later versions may tell more about a host or a plan; a result is fixed.
        check_shape(top["host"], Host, "host", extra=True)
        check_shape(top["plan"], PlanRecord, "plan", extra=True)
        return cls(
            xengt=top["xengt"],
            created=top["created"],
            host=top["host"],
            plan=top["plan"],
            results=tuple(
                Result.from_json(each, f"results[{index}]")
                for index, each in enumerate(top["results"])
            ),
        )


def build(
    host: Mapping[str, object], plan: Mapping[str, object], results: Iterable[Result]
) -> BenchDocument:
    """Make the document of a run that ends now.

    Args:
        host: the keys of `Host`.
        plan: the keys of `Plan`.
        results: one for each case and operation.

    Raises:
        ShapeError: the host or the plan is not as the document holds it.
    """
    return BenchDocument(
        xengt=xengt.__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        host=cast(Host, check_shape(host, Host, "host", extra=True)),
        plan=cast(PlanRecord, check_shape(plan, PlanRecord, "plan", extra=True)),
        results=tuple(results),
    )


def read(path: str) -> BenchDocument:
    """Read a bench document and check that it is one.

    Args:
        path: the file that `xengt bench --json FILE` wrote.

    Raises:
        UnmetError: the file is missing or cannot be read, is not JSON, follows
            another schema, or lacks a key.
    """
    try:
        value = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise UnmetError(
            f"cannot read {path}: {error.strerror}",
            "name a file that `xengt bench --json FILE` has written",
        ) from error
    except ValueError as error:
        raise UnmetError(
            f"{path} is not JSON: {error}",
            "name a file that `xengt bench --json FILE` has written to its end",
        ) from error
    named = value.get("schema") if isinstance(value, dict) else None
    if named != SCHEMA:
        raise UnmetError(
            f"{path} is {_kind(named)}; bench documents are {SCHEMA}",
            "name a file that `xengt bench --json FILE` of this version has written",
        )
    try:
        return BenchDocument.from_json(value)
    except ShapeError as error:
        raise UnmetError(
            f"{path} is not a whole {SCHEMA} document: {error}",
            "measure again with `xengt bench --json FILE`; the document is not meant to be edited",
        ) from error


def _kind(schema: object) -> str:
    """Name what a file holds by what it says of itself."""
    return f"a {schema} document" if isinstance(schema, str) else "JSON, but names no schema"
