"""`xengt schema`: a schema for each command with a document, which describes every key."""

import json
import re
from importlib import import_module

import jsonschema
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from tests.unit.schemas import undescribed
from xengt.cli import app
from xengt.cli.schema import Documented

#: the module that declares the name of each document's schema
DECLARATIONS = {
    "bench": "xengt.bench.document",
    "break-even": "xengt.break_even.document",
    "check": "xengt.cli.check",
    "compare": "xengt.compare.document",
    "handle": "xengt.cli.handle",
    "map": "xengt.cli.map",
    "plan": "xengt.plan.document",
    "scaling": "xengt.scaling.document",
    "serve": "xengt.cli.serve",
    "share": "xengt.cli.share",
    "usage": "xengt.usage.document",
}


def printed(command):
    result = CliRunner().invoke(app, ["schema", command])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_every_command_but_this_one_has_a_schema():
    assert {str(command) for command in Documented} == set(get_command(app).commands) - {"schema"}


@pytest.mark.parametrize("command", Documented)
def test_a_schema_is_valid_and_describes_every_key(command):
    schema = printed(command)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert list(undescribed(schema)) == []


@pytest.mark.parametrize("command", Documented)
def test_a_schema_has_the_name_that_the_document_has(command):
    module = import_module(DECLARATIONS[command])
    schema = printed(command)
    assert schema["title"] == schema["properties"]["schema"]["const"] == module.SCHEMA
    assert re.fullmatch(rf"xengt\.{command}/[0-9]+", module.SCHEMA)


def test_a_key_without_a_description_is_found_at_any_depth():
    inner = {"type": "object", "properties": {"c": {"type": "integer"}}}
    outer = {"a": {"description": "x"}, "b": {"description": "x", "items": inner}}
    assert list(undescribed({"properties": outer})) == [".b[].c"]


def test_an_unknown_command_exits_with_2():
    result = CliRunner().invoke(app, ["schema", "map-all"])
    assert result.exit_code == 2
    assert "map-all" in result.stderr
