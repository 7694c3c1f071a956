"""`--json[=FILE]`, which is the same in every command with a document."""

import json

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from tests.unit.made_documents import document
from xengt.cli import app
from xengt.cli.schema import Documented
from xengt.documents.write import write_json


def run(*words):
    return CliRunner().invoke(app, list(map(str, words)))


@pytest.fixture
def two_runs(tmp_path):
    """The files of two runs."""
    files = [tmp_path / "base.json", tmp_path / "new.json"]
    for file in files:
        made = document(engines=("hypercall",), batches=(1,), threads=(1,), samples=50)
        write_json(made.to_json(), str(file))
    return files


def test_the_option_is_the_same_in_every_command_with_a_document():
    commands = get_command(app).commands
    options = [
        next(each for each in commands[name].params if "--json" in each.opts) for name in Documented
    ]
    assert len({(str(each.opts), each.metavar, each.help) for each in options}) == 1


@pytest.mark.parametrize("words", [("handle", 5), ("plan",), ("check",)], ids=str)
def test_without_a_file_the_document_is_the_only_line_of_standard_output(words):
    printed = run(*words, "--json").stdout
    (line,) = printed.splitlines()
    assert json.loads(line)["schema"].startswith(f"xengt.{words[0]}/")


def test_the_option_without_a_file_takes_no_operand():
    assert json.loads(run("handle", "--json", "0x80010008").stdout)["gref"] == 8


@pytest.mark.parametrize("words", [("handle", 5), ("plan",), ("check",)], ids=str)
def test_with_a_file_the_report_is_printed_as_well(tmp_path, words):
    target = tmp_path / "document.json"
    done = run(*words, f"--json={target}")
    assert done.stdout == run(*words).stdout
    assert json.loads(target.read_text())["schema"].startswith(f"xengt.{words[0]}/")
    assert done.exit_code == run(*words).exit_code


def test_a_dash_is_standard_output():
    assert run("handle", 5, "--json=-").stdout == run("handle", 5, "--json").stdout


def test_compare_prints_the_document_and_its_table_elsewhere(two_runs):
    base, new = two_runs
    done = run("compare", base, "--", new, "--json")
    assert json.loads(done.stdout)["schema"] == "xengt.compare/2"
    assert "ratios are new/base" in done.stderr
    again = run("compare", base, "--json", "--", new)
    assert json.loads(again.stdout)["results"] == json.loads(done.stdout)["results"]


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_file_in_the_next_word_is_accepted_with_a_warning(two_runs, tmp_path, place):
    base, new = two_runs
    target = tmp_path / "out.json"
    option, operands = ("--json", target), (base, "--", new)
    words = (*option, *operands) if place == "before" else (*operands, *option)
    done = run("compare", *words)
    assert done.exit_code == 0
    assert json.loads(target.read_text())["schema"] == "xengt.compare/2"
    assert f"`--json {target}` is deprecated" in done.stderr
    assert f"write --json={target}" in done.stderr
    dash = run("compare", *operands, "--json", "-")
    assert json.loads(dash.stdout)["schema"] == "xengt.compare/2"
    assert "`--json -` is deprecated" in dash.stderr


def test_a_run_after_the_option_is_not_overwritten(two_runs):
    base, new = two_runs
    before = base.read_bytes()
    for words in (("--json", base, new, "--", new), (base, "--", new, "--html", base)):
        done = run("compare", *words)
        assert done.exit_code == 2
        assert f"would overwrite the run {base}" in done.stderr
        assert base.read_bytes() == before


@pytest.mark.parametrize("command", ["break-even", "scaling"])
def test_a_file_in_the_next_word_is_a_run_of_the_other_commands_that_read_runs(two_runs, command):
    base, new = two_runs
    before = base.read_bytes()
    done = run(command, "--json", base, new)
    assert "deprecated" not in done.stderr
    assert "would overwrite" not in done.stderr
    assert base.read_bytes() == before
    missing = run(command, new, "--json", "out.json")
    assert missing.exit_code == 2
    assert "cannot read out.json" in missing.stderr


def test_a_second_file_in_the_next_word_is_an_operand_of_no_other_command():
    done = run("plan", "--json", "out.json")
    assert done.exit_code == 2
    assert "out.json" in done.stderr
