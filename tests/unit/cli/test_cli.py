"""The command line as a whole: help everywhere, and options that are refused."""

import json
import os
import subprocess
import sys

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from tests.patience import patient
from tests.unit.made_documents import document
from xengt.cli import app
from xengt.xen import kernel

COMMANDS = sorted(get_command(app).commands)
NO_EXTENSION = "import sys; sys.modules['xenlib_cffi._xen'] = None"
A_DOM0 = """
from xengt.xen import kernel
kernel.is_control_domain = lambda: True
"""
A_DEVICE_OF_ANOTHER_USER = """
import errno
from xengt.xen import preflight
from xenlib_cffi.errors import XenLibraryError
def refuse():
    raise XenLibraryError("xencall_open", "/dev/xen/privcmd", errno.EACCES)
preflight.Call = refuse
"""


def xengt(*arguments, before=""):
    """Run the command in a process of its own; `before` is Python that runs first."""
    return subprocess.run(
        [sys.executable, "-c", f"{before}\nfrom xengt.cli import main\nmain()", *arguments],
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1"},
    )


def test_the_commands_are_all_there():
    assert COMMANDS == [
        "bench",
        "break-even",
        "check",
        "compare",
        "handle",
        "map",
        "plan",
        "scaling",
        "schema",
        "serve",
        "share",
        "usage",
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_ends_with_an_example(command):
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    *_, last = get_command(app).commands[command].help.split("\n\n")
    assert last.startswith(f"Example: xengt {command}")
    assert f"Example: xengt {command}" in shown.stdout
    assert "--json" in shown.stdout  # of `schema`: the output of the others that it is about


@pytest.mark.parametrize("command", COMMANDS)
def test_the_options_of_every_example_exist(command):
    known = get_command(app).commands[command]
    example = known.help.rpartition("Example: xengt ")[2].split()
    words = {word.partition("=")[0] for word in example}
    options = {word for word in words if word.startswith("--") and word != "--"}
    assert options <= {name for parameter in known.params for name in parameter.opts}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_says_what_it_is(command):
    for parameter in get_command(app).commands[command].params:
        assert parameter.help, parameter.name
        assert parameter.help.endswith(".")


def test_the_command_alone_shows_its_commands():
    shown = CliRunner().invoke(app, [])
    assert all(command in shown.stdout for command in COMMANDS)


def test_it_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "xengt", "handle", "0x80010008"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "0x80010008  fast: granter domid 1, reference 8\n"


@pytest.mark.parametrize("before", ["", NO_EXTENSION], ids=["with Xen's", "without Xen's"])
def test_help_needs_no_xen(before):
    done = xengt("--help", before=before)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(command in done.stdout for command in COMMANDS)


def test_without_xens_libraries_what_needs_none_still_works(tmp_path):
    done = xengt("handle", "--json", "0x80010008", before=NO_EXTENSION)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["gref"] == 8
    run = json.dumps(document(engines=("hypercall",), batches=(1,), threads=(1,)).to_json())
    for name in ("base.json", "new.json"):
        (tmp_path / name).write_text(run)
    done = xengt(
        *("compare", tmp_path / "base.json", "--", tmp_path / "new.json", "--json"),
        before=NO_EXTENSION,
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)


def test_without_xens_libraries_bench_says_what_is_missing():
    done = xengt("bench", before=NO_EXTENSION + A_DOM0)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "xengt: Xen cannot be queried: Xen's C libraries cannot be used: "
    )
    assert "apt install libxen-dev" in done.stderr


@pytest.mark.skipif(kernel.is_control_domain(), reason="this machine is a dom0")
def test_where_there_is_no_dom0_bench_says_so_and_what_to_do():
    done = xengt("bench")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "xengt: this is not a Xen dom0: Linux does not run on Xen\n"
        "  run xengt in a dom0 (the lab in xengt's source tree has one: deploy/lab/lab run); "
        "`xengt check` reports what is missing\n"
    )


def test_who_may_not_open_privcmd_is_told():
    done = xengt("bench", before=A_DOM0 + A_DEVICE_OF_ANOTHER_USER)
    assert done.returncode == 2
    assert "Xen cannot be queried: xencall_open on /dev/xen/privcmd: EACCES" in done.stderr
    assert done.stderr.endswith("\n  run this program as root\n")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--batch", "0"], "--batch '0'"),
        (["--batch", "1,513"], "--batch '513'"),
        (["--engine", "gntalloc"], "--engine 'gntalloc'"),
        (["--granter", "guest:"], "--granter 'guest:'"),
        (["--granters", "0"], "--granters '0'"),
        (["--references", "none"], "--references 'none'"),
        (["--mappings", "4"], "--mappings '4'"),
        (["--readonly", "maybe"], "--readonly 'maybe'"),
        (["--hold", "-1"], "--hold '-1'"),
        (["--rate", "0"], "--rate '0'"),
        (["--threads", "0"], "--threads '0'"),
        (["--threads", "4096"], "--threads"),
        (["--samples", "5", "--duration", "5"], "--samples and --duration"),
        (["--samples", "0"], "--samples"),
        (["--duration", "0"], "--duration"),
        (["--digits", "4"], "--digits"),
        (["--references", "8", "--batch", "32"], "--references"),
        (["--fast"], "--fast"),
    ],
)
def test_what_cannot_be_is_refused_with_the_option_named(arguments, named):
    done = CliRunner().invoke(app, ["bench", *arguments])
    assert done.exit_code == 2
    assert named in done.stderr
    assert isinstance(done.exception, SystemExit)


def test_an_unknown_command_is_refused():
    done = CliRunner().invoke(app, ["benhc"])
    assert done.exit_code == 2
    assert "benhc" in done.stderr
