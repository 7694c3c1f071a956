"""`xengt check`: the table, the document and the exit code."""

import json
import subprocess
import sys

import jsonschema
import pytest
from typer.testing import CliRunner

from tests.patience import patient
from xengt import cli
from xengt.check import Command, hypervisor, linux, recovery, service
from xengt.check.outcome import missing, ok, warning
from xengt.cli import check as check_command
from xengt.documents.schemas import load
from xengt.xen.kernel import is_control_domain

CHECKS = (
    ok("Xen", "Linux runs on Xen (PV)"),
    warning("CPU", "emulated " * 20 + "so", "Measure on a real host. " * 8),
    missing("device gntdev", "it is not there", "modprobe xen-gntdev", (Command.MAP,)),
)


def test_in_a_pipe_columns_are_aligned_and_lines_are_not_wrapped(monkeypatch):
    monkeypatch.setattr(check_command, "run_all", lambda _commands: iter(CHECKS))
    result = CliRunner().invoke(cli.app, ["check"])
    lines = result.output.splitlines()
    assert result.exit_code == 2
    assert [line.split()[0] for line in lines[:2]] == ["ok", "warning"]
    column = lines[0].index("Linux")
    assert lines[1].index("emulated") == lines[2].index("Measure") == column
    assert lines[3].index("it is not") == lines[4].index("modprobe") == column
    assert lines[-1] == "1 ok, 1 warning, 1 missing"
    assert len(lines) == 7
    assert "\x1b" not in result.output


def test_on_a_terminal_there_are_colours_and_lines_are_wrapped(monkeypatch):
    monkeypatch.setattr(check_command, "run_all", lambda _commands: iter(CHECKS))
    for name in ("NO_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    result = CliRunner().invoke(cli.app, ["check"], color=True)
    assert "\x1b[32mok" in result.output
    plain = "".join(part.partition("m")[2] if i else part
                    for i, part in enumerate(result.output.split("\x1b[")))  # fmt: skip
    assert max(map(len, plain.splitlines())) <= 80


@pytest.mark.parametrize(("checks", "code"), [(CHECKS, 2), (CHECKS[:2], 0)])
def test_the_exit_code_is_2_if_something_is_missing(monkeypatch, checks, code):
    monkeypatch.setattr(check_command, "run_all", lambda _commands: iter(checks))
    result = CliRunner().invoke(cli.app, ["check", "--json"])
    assert result.exit_code == code
    jsonschema.validate(json.loads(result.output), load("check"))
    first = json.loads(result.output)["checks"][0]
    assert first == {
        "name": "Xen",
        "state": "ok",
        "what": "Linux runs on Xen (PV)",
        "remedy": "",
        "prevents": [],
    }


@pytest.mark.parametrize(
    ("options", "state"),
    [
        ((), "warning"),
        (("--for", "serve"), "warning"),
        (("--for", "map"), "missing"),
        (("--for", "serve", "--for", "map"), "missing"),
    ],
)
def test_only_what_prevents_a_wanted_command_is_missing(monkeypatch, options, state):
    for module in (hypervisor, recovery, service):
        monkeypatch.setattr(module, "run", lambda: iter(()))
    monkeypatch.setattr(linux, "run", lambda: iter(CHECKS))
    result = CliRunner().invoke(cli.app, ["check", "--json", *options])
    assert result.exit_code == (2 if state == "missing" else 0)
    document = json.loads(result.output)
    jsonschema.validate(document, load("check"))
    assert document["for"] == (list(options[1::2]) or ["bench", "serve", "usage"])
    assert [each["state"] for each in document["checks"]] == ["ok", "warning", state]
    assert document["checks"][2]["prevents"] == ["map"]


def test_a_finding_names_the_commands_that_it_prevents(monkeypatch):
    monkeypatch.setattr(check_command, "run_all", lambda _commands: iter(CHECKS))
    result = CliRunner().invoke(cli.app, ["check"])
    assert "it is not there; this prevents `xengt map`\n" in result.output


def test_the_command_runs_on_this_machine():
    command = [sys.executable, "-m", "xengt", "check", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=patient(60))
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.stderr == ""
    assert done.returncode == (2 if any(c["state"] == "missing" for c in found.values()) else 0)
    assert ("hypervisor" in found) == is_control_domain()
    assert all(check["remedy"] for check in found.values() if check["state"] != "ok")
