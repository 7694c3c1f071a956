"""The JSON schemas of all documents: each is a schema, has a title, and describes every key."""

import pytest

from tests.unit import schemas

COMMANDS = sorted(path.name.split(".")[0] for path in schemas.DOCUMENTS.glob("*.schema.json"))


def test_every_command_with_a_document_of_its_own_has_a_schema():
    assert COMMANDS == ["bench", "handle", "map", "plan", "share", "usage"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_schema_describes_every_key(command):
    assert list(schemas.undescribed(schemas.load(command))) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_the_title_of_a_schema_is_the_value_of_the_key_schema(command):
    schema = schemas.load(command)
    assert schema["title"] == schema["properties"]["schema"]["const"] == f"xengt.{command}/1"
    assert schema["description"]


def test_a_key_without_a_description_is_found_at_any_depth():
    inner = {"type": "object", "properties": {"c": {"type": "integer"}}}
    outer = {"a": {"description": "x"}, "b": {"description": "x", "items": inner}}
    assert list(schemas.undescribed({"properties": outer})) == [".b[].c"]
