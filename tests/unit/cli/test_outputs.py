"""Files that commands write: checked before the work, complete whatever happens afterwards."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.patience import patient
from tests.unit.made_documents import document
from xengt.cli import app
from xengt.cli.outputs import Outputs
from xengt.documents.write import require_writable, write_json
from xengt.errors import FailedError, UnmetError

COMMANDS = {
    "bench": (),
    "check": (),
    "compare": ("a.json", "--", "b.json"),
    "handle": ("5",),
    "map": ("7", "8"),
    "plan": (),
    "serve": (),
    "share": ("--to", "1"),
    "usage": (),
}


def run(*words):
    return CliRunner().invoke(app, list(map(str, words)))


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unusable_file_is_refused_before_anything_else(tmp_path, command):
    done = run(command, *COMMANDS[command], f"--json={tmp_path}/none/out.json")
    assert (done.exit_code, done.stdout) == (2, "")
    what, remedy = done.stderr.splitlines()
    assert what == (
        f"xengt: cannot write {tmp_path}/none/out.json (--json): No such file or directory"
    )
    assert "directory that exists" in remedy


@pytest.mark.parametrize(
    ("command", "option"), [("bench", "--html"), ("bench", "--hdr"), ("compare", "--html")]
)
def test_every_option_with_an_output_is_checked(tmp_path, command, option):
    done = run(command, *COMMANDS[command], option, tmp_path)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"xengt: cannot write {tmp_path} ({option}): Is a directory\n")


@pytest.mark.parametrize("option", ["--json=", "--html="])
def test_an_empty_name_is_refused(option):
    done = run("bench", option)
    assert done.exit_code == 2
    assert f"{option.rstrip('=')} has an empty file name" in done.stderr


def test_a_command_that_then_fails_leaves_files_as_they_were(tmp_path):
    old, absent = tmp_path / "old.json", tmp_path / "absent.html"
    old.write_text("kept")
    done = run("bench", "--batch", "0", f"--json={old}", "--html", absent)
    assert "--batch '0'" in done.stderr
    assert old.read_text() == "kept"
    assert os.listdir(tmp_path) == ["old.json"]  # noqa: PTH208 (also hidden ones)


def refused(target):
    with pytest.raises(UnmetError) as error:
        require_writable(str(target), "--json")
    return error.value.what


def test_what_cannot_be_written_is_refused_with_linuxs_reason(tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert refused(file / "out").endswith(": Not a directory")
    assert refused(tmp_path / ("n" * 300)).endswith(": File name too long")
    (tmp_path / "dangling").symlink_to(tmp_path / "none" / "out")
    assert refused(tmp_path / "dangling").endswith(": No such file or directory")
    (tmp_path / "loop").symlink_to("loop")
    assert refused(tmp_path / "loop").endswith(": Too many levels of symbolic links")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_without_permission_is_refused():
    with tempfile.TemporaryDirectory() as name:  # those of pytest are closed to other users
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "file").touch(mode=0o444)
        os.seteuid(65_534)
        try:
            assert refused(directory / "file").endswith(": Permission denied")
            assert refused(directory / "new").endswith(": Permission denied")
        finally:
            os.seteuid(0)


def test_devices_and_pipes_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    require_writable(str(tmp_path / "fifo"), "--json")  # opening it would wait for a reader
    Outputs({"--json": "/dev/null", "--html": "/dev/null"})


@pytest.mark.parametrize("other", ["out", "./out", "link"])
def test_two_options_with_one_target_are_refused(tmp_path, monkeypatch, other):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("out")
    with pytest.raises(UnmetError, match="--json and --html write to the same target"):
        Outputs({"--json": "out", "--html": other})
    with pytest.raises(UnmetError, match="same target: -"):
        Outputs({"--json": "-", "--html": "-"})


def test_a_file_keeps_its_mode(tmp_path):
    target = tmp_path / "out.json"
    target.touch(mode=0o600)
    assert run("handle", "5", f"--json={target}").exit_code == 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_further_documents_are_appended_to_those_of_this_command(tmp_path):
    target = tmp_path / "out.json"
    target.write_text("of an earlier command\n")
    outputs = Outputs({"--json": str(target)})
    outputs.write_document({"reading": 1})
    outputs.write_document({"reading": 2})
    assert target.read_text() == '{"reading": 1}\n{"reading": 2}\n'


def test_a_report_that_cannot_be_written_does_not_prevent_the_others(tmp_path):
    page = tmp_path / "page.html"
    outputs = Outputs({"--json": "/dev/full", "--html": str(page)})
    with pytest.raises(FailedError, match="cannot write /dev/full: No space left on device"):
        outputs.write({"--json": lambda: "{}" * 10_000, "--html": lambda: "page", "--hdr": dict})
    assert page.read_text() == "page"


@pytest.fixture
def sides(tmp_path):
    """The operands of a comparison."""
    files = [str(tmp_path / name) for name in ("base.json", "new.json")]
    for file in files:
        made = document(engines=("hypercall",), batches=(1,), threads=(1,), samples=50)
        write_json(made.to_json(), file)
    return [files[0], "--", files[1]]


def test_the_table_is_shown_although_a_file_cannot_be_written(sides):
    done = run("compare", *sides, "--html", "/dev/full")
    assert done.exit_code == 3
    assert "cannot write /dev/full" in done.stderr
    assert "ratios are new/base" in done.stdout


def test_the_files_are_complete_although_nobody_reads_the_table(sides, tmp_path):
    target = tmp_path / "out.json"
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "xengt", "compare", *sides, f"--json={target}"]
    done = subprocess.run(
        words, stdout=writer, stderr=subprocess.PIPE, timeout=patient(60), check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
    assert target.read_text().endswith("}\n")
