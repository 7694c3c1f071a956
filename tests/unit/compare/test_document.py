"""Documents of `xengt compare --json` conform to compare.schema.json."""

import copy
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from tests.unit.made_documents import document
from tests.unit.schemas import undescribed
from xengt.bench.case import DECLARED, Case
from xengt.cli import app
from xengt.compare import Metric
from xengt.compare.document import SCHEMA as SCHEMA_ID
from xengt.compare.schema import compare_schema
from xengt.documents.write import write_json

SCHEMA = compare_schema()
VALIDATOR = jsonschema.Draft202012Validator(
    SCHEMA, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
)
BUSY_DEMO = Path(__file__).parents[1] / "busy_demo"
STOCK, PATCHED = (
    sorted(map(str, BUSY_DEMO.glob(f"{side}-*.json"))) for side in ("stock", "patched")
)


def compare(base: list[str], new: list[str], *options: str) -> dict[str, Any]:
    """Return the document of the command."""
    done = CliRunner().invoke(app, ["compare", *base, "--", *new, "--json", *options])
    assert done.exit_code in {0, 1}, done.output
    made: dict[str, Any] = json.loads(done.stdout)
    return made


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """Write a bench document and return its path as the runs of a side."""

    def write(name: str, **options: Any) -> list[str]:
        path = tmp_path / f"{name}.json"
        write_json(document(**{"samples": 50, "boot_id": name, **options}).to_json(), str(path))
        return [str(path)]

    return write


def test_the_schema_is_valid_and_describes_every_key() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert list(undescribed(SCHEMA)) == []
    assert SCHEMA["title"] == SCHEMA["properties"]["schema"]["const"] == SCHEMA_ID


def test_the_schema_has_every_dimension_and_metric() -> None:
    dimensions = {field.name for field in fields(Case)}
    assert set(SCHEMA["$defs"]["case"]["properties"]) == dimensions
    row = SCHEMA["properties"]["results"]["items"]["properties"]
    assert dimensions < set(row)
    assert row["metric"]["enum"] == [metric.value for metric in Metric]


def test_several_runs_with_a_bound_conform() -> None:
    made = compare(STOCK, PATCHED, "--at-most", "0.8")
    VALIDATOR.validate(made)
    assert made["wanted"] == 0.8
    assert {row["ratio"] is None for row in made["results"]} == {False, True}
    assert any(row["runs_needed"] for row in made["results"])


def test_one_run_per_side_conforms(written: Any) -> None:
    made = compare(written("base"), written("new", seed=2))
    VALIDATOR.validate(made)
    assert made["results"][0]["low"] is None


def test_instruction_counts_conform(written: Any) -> None:
    counted = {"clock": "instructions"}
    made = compare(written("base", **counted), written("new", seed=2, **counted))
    VALIDATOR.validate(made)
    assert made["clock"] == "instructions"


def test_unmatched_cases_conform(written: Any) -> None:
    made = compare(written("base", batches=(1, 32)), written("new", batches=(32, 64)))
    VALIDATOR.validate(made)
    assert made["only_base"]
    assert made["only_new"]


@pytest.mark.parametrize(
    "path", [(), ("interval",), ("base", 0), ("results", 0), ("results", 0, "new")]
)
def test_an_unknown_or_missing_key_does_not_conform(path: tuple[str | int, ...]) -> None:
    made = compare(STOCK, PATCHED)

    def part(whole: Any) -> dict[str, Any]:
        for key in path:
            whole = whole[key]
        found: dict[str, Any] = whole
        return found

    extended = copy.deepcopy(made)
    part(extended)["unknown"] = 1
    assert not VALIDATOR.is_valid(extended)
    added = {name for name, declared in DECLARED.items() if declared.recorded_since}
    for key in part(made).keys() - added:
        shortened = copy.deepcopy(made)
        del part(shortened)[key]
        assert not VALIDATOR.is_valid(shortened), key
