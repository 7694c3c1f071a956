"""The reference tables of xengt/README.md, against the code."""

import re
from pathlib import Path

import pytest

from xengt.cli.schema import Documented, schema_of
from xengt.errors import Exit

ROOT = Path(__file__).parents[2]
SECTIONS = dict(
    section.split("\n", 1)
    for section in (ROOT / "xengt/README.md").read_text(encoding="utf-8").split("\n## ")[1:]
)


def rows(section: str) -> list[list[str]]:
    """The cells of the rows of a section's table, without its head."""
    lines = [line for line in SECTIONS[section].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_exit_code_is_listed_with_its_name() -> None:
    listed = {name.strip("`"): int(code) for code, name, _ in rows("Exit codes") if name}
    assert listed == {code.name: code.value for code in Exit}


def test_every_document_is_listed_with_its_schema() -> None:
    listed = {command.strip("`"): schema.strip("`") for command, schema, _ in rows("Documents")}
    assert listed == {str(each): schema_of(each)["title"] for each in Documented}


def read_by(*directories: str) -> set[str]:
    """The environment variables that programs below these directories read."""
    python = re.compile(r"environ(?:\.get\(|\[)\"([A-Z_]+)\"")
    shell = re.compile(r"\$\{([A-Z][A-Z_]+):-")
    paths = [path for each in directories for path in (ROOT / each).rglob("*") if path.is_file()]
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in paths]
    return {name for text in texts for name in (*python.findall(text), *shell.findall(text))}


@pytest.mark.parametrize(
    ("reader", "directories"),
    [
        ({"lab"}, ["deploy/lab", "deploy/hypervisor"]),
        ({"`xengt`", "`xengt serve`"}, ["xengt", "xenlib_cffi"]),
    ],
)
def test_every_environment_variable_is_listed_with_its_reader(
    reader: set[str], directories: list[str]
) -> None:
    listed = {
        name
        for variables, readers, _ in rows("Environment variables")
        if reader & set(readers.split(", "))
        for name in re.findall(r"`([A-Z_]+)`", variables)
    }
    assert listed == read_by(*directories)


def test_every_package_is_listed() -> None:
    listed = {name for cell, _ in rows("Packages") for name in re.findall(r"`([\w.]+)/?`", cell)}
    packages = {path.parent.name for path in (ROOT / "xengt").glob("*/__init__.py")}
    assert listed == packages | {"errors.py"}
