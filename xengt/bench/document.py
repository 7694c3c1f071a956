"""The bench document: the result of one run of `xengt bench`, and the host that it ran on.

`xengt schema bench` describes each key and its unit.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from types import GenericAlias
from typing import Any, NotRequired, TypedDict, cast, get_type_hints

import xengt
from xengt.bench.case import DECLARED, Setup
from xengt.bench.result import Result, absent_filled
from xengt.documents.shape import Positive, ShapeError, check_shape
from xengt.documents.timestamp import timestamp
from xengt.errors import UnmetError
from xengt.xen.host import Host

SCHEMA = "xengt.bench/3"
READABLE_SCHEMAS = ("xengt.bench/1", "xengt.bench/2", SCHEMA)
"""Version 1 has the warnings of a result as sentences."""

PlanRecord = Mapping[str, Any]
"""The plan as the document holds it: the values of each dimension, and how long a setup takes."""


class _PlanKeys(TypedDict):
    samples: Positive | None
    duration_s: float | None
    digits: Positive
    left_out: NotRequired[list[str]]


def _lists_of_values() -> type:
    hints = get_type_hints(Setup, include_extras=True)
    lists = [(name, GenericAlias(list, (hints[name],))) for name in DECLARED]
    return make_dataclass("Lists", lists)


_LISTS = _lists_of_values()


class _Top(TypedDict):
    schema: str
    xengt: str
    created: str
    host: Any
    plan: Any
    results: list[Any]


@dataclass(frozen=True, slots=True)
class BenchDocument:
    """The document of one run.

    Args:
        xengt: the version that wrote it.
        created: the end of the run, as ISO 8601 in UTC.
        host: the machine, its hypervisor and its boot.
        plan: the values that were asked for.
        results: one for each operation of each setup.
    """

    xengt: str
    created: str
    host: Host
    plan: PlanRecord
    results: tuple[Result, ...]

    @property
    def left_out(self) -> tuple[str, ...]:
        """The engines and setups that a suite could not measure, each with the reason."""
        return tuple(self.plan.get("left_out", ()))

    def to_json(self) -> dict[str, Any]:
        """Return the document as its schema describes it."""
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
        """Check and convert a document of any readable version.

        Args:
            value: what the JSON decoder returned.

        Raises:
            ShapeError: a key is missing, unknown, or of the wrong type.
        """
        top = check_shape(value, _Top, "the document")
        return cls(
            xengt=top["xengt"],
            created=top["created"],
            host=_checked_host(top["host"]),
            plan=_checked_plan(top["plan"]),
            results=tuple(
                Result.from_json(each, f"results[{index}]")
                for index, each in enumerate(top["results"])
            ),
        )


# Later versions may add keys to a host or a plan; the keys of a result are fixed.
def _checked_host(host: object) -> Host:
    return cast(Host, check_shape(host, Host, "host", extra=True))


def _checked_plan(plan: object) -> PlanRecord:
    checked = check_shape(plan, _PlanKeys, "plan", extra=True)
    values = {name: [value] for name, value in absent_filled({}).items()}
    values |= {name: checked[name] for name in DECLARED if name in checked}
    check_shape(values, _LISTS, "plan")
    return {**values, **checked}


def build(
    host: Mapping[str, object], plan: Mapping[str, object], results: Iterable[Result]
) -> BenchDocument:
    """Return the document of a run that ends now.

    Args:
        host: the keys of `Host`.
        plan: the plan as its `to_json` returns it.
        results: one for each operation of each setup.

    Raises:
        ShapeError: the host or the plan lacks a key, or has one of the wrong type.
    """
    return BenchDocument(
        xengt=xengt.__version__,
        created=timestamp(),
        host=_checked_host(host),
        plan=_checked_plan(plan),
        results=tuple(results),
    )


def read(path: str) -> BenchDocument:
    """Read and check a bench document.

    Args:
        path: the file that `xengt bench --json=FILE` wrote.

    Raises:
        UnmetError: the file cannot be read, is not JSON, has another schema, or
            lacks a key.
    """
    try:
        value = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise UnmetError(
            f"cannot read {path}: {error.strerror}",
            "name a file that `xengt bench --json=FILE` has written",
        ) from error
    except ValueError as error:
        raise UnmetError(
            f"{path} is not valid JSON: {error}",
            "name a file that `xengt bench --json=FILE` has completely written",
        ) from error
    named = value.get("schema") if isinstance(value, dict) else None
    if named not in READABLE_SCHEMAS:
        raise UnmetError(
            f"{path} is {_kind(named)}; bench documents are {' or '.join(READABLE_SCHEMAS)}",
            "name a file that `xengt bench --json=FILE` has written",
        )
    try:
        return BenchDocument.from_json(value)
    except ShapeError as error:
        raise UnmetError(
            f"{path} is not a complete {named} document: {error}",
            "measure again with `xengt bench --json=FILE`, and do not edit the document",
        ) from error


def _kind(schema: object) -> str:
    """Name the content of a file by its schema."""
    return f"a {schema} document" if isinstance(schema, str) else "JSON without a schema"
