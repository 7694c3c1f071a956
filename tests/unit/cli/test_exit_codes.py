"""How a command ends: signals, crashes, and a standard output that takes nothing."""

import os
import signal
import subprocess
import sys

import pytest

from tests.patience import patient

#: gives the program a command, whose body `run` executes, under the real main()
COMMAND = """
import sys, time
from xengt import cli

def body() -> None:
{body}

cli.app.command("body")(cli._command(body))
cli.main()
"""
WAITS = """
    try:
        print("waiting", flush=True)
        time.sleep(60)
    finally:
        print("undone", flush=True)
"""


def program(body, before=""):
    return [sys.executable, "-c", before + COMMAND.format(body=body.strip("\n")), "body"]


def run(words, **options):
    """Run a program to its end; standard output and error are captured unless given."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run(words, text=True, timeout=patient(60), check=False, **options)


def xengt(*arguments):
    return [sys.executable, "-m", "xengt", *arguments]


@pytest.fixture
def closed_pipe():
    """The end of a pipe for writing whose other end is closed."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.fixture
def full_disk():
    """A file on which every write fails for lack of space."""
    with open("/dev/full", "wb") as file:  # noqa: PTH123 (a device)
        yield file


def ended_by(number):
    with subprocess.Popen(
        program(WAITS), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "waiting\n"
            process.send_signal(number)
            out, err = process.communicate(timeout=patient(20))
        finally:
            process.kill()
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_undoes_everything_and_shows_no_traceback(number, code):
    assert ended_by(number) == (code, "undone\n", "")


def test_under_nohup_a_closed_terminal_ends_nothing():
    body = WAITS.replace("time.sleep(60)", "os.kill(os.getpid(), signal.SIGHUP); print('goes on')")
    before = "import os, signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    done = run(program(body, before))
    assert (done.returncode, done.stdout) == (0, "waiting\ngoes on\nundone\n")


@pytest.mark.parametrize("moment", ["import typer", "from xengt.xen import host"])
def test_ctrl_c_while_modules_are_loaded_shows_no_traceback(tmp_path, moment):
    module = moment.split()[1]
    (tmp_path / "sitecustomize.py").write_text(
        f"""
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
"""
    )
    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}:{os.getcwd()}"  # noqa: PTH109
    done = run(xengt("handle", "1"), env=os.environ | {"PYTHONPATH": path})
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("{}['domid']", "KeyError: 'domid'"),
        ("raise ValueError('one\\nline')", "ValueError: one line"),
        ("assert False", "AssertionError"),
        ("raise EOFError", "EOFError"),
        ("raise BrokenPipeError(32, 'Broken pipe')", "BrokenPipeError: [Errno 32] Broken pipe"),
    ],
)
def test_a_crash_is_one_line_that_names_the_exception(statement, named):
    done = run(program(f"    {statement}"))
    assert (done.returncode, done.stdout) == (3, "")
    what, remedy = done.stderr.splitlines()
    assert what == f"xengt: unexpected {named}"
    assert "defect of xengt" in remedy
    assert "XENGT_TRACEBACK=1" in remedy


def test_a_crash_outside_a_command_has_the_same_exit_code():
    before = "from xengt import cli\ncli._print_version = lambda _: 1 / 0\n"
    broken = before + "cli.app.registered_callback.callback = lambda: 1 / 0\n"
    done = run([sys.executable, "-c", f"{broken}cli.main()", "handle", "1"])
    assert done.returncode == 3
    assert done.stderr.startswith("xengt: unexpected ZeroDivisionError: division by zero\n")


def test_the_traceback_of_a_crash_is_printed_on_request():
    done = run(program("    {}['domid']"), env=os.environ | {"XENGT_TRACEBACK": "1"})
    assert done.returncode == 3
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert "in body\n" in done.stderr
    assert "xengt: unexpected KeyError: 'domid'\n" in done.stderr


def test_a_module_that_cannot_be_loaded_is_a_failure():
    before = "import sys\nsys.modules['typer'] = None\n"
    start = "from xengt.__main__ import main\nmain()"
    done = run([sys.executable, "-c", before + start, "handle", "1"])
    assert (done.returncode, done.stdout) == (3, "")
    what, remedy = done.stderr.splitlines()
    assert what.startswith("xengt: cannot be loaded: ")
    assert "typer" in what
    assert "install xengt again" in remedy


PRINTING = [
    ("handle", "1"),
    ("plan",),
    ("schema", "bench"),
    ("--help",),
    ("--version",),
]


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_closed_standard_output_ends_a_command_as_in_a_shell(closed_pipe, arguments):
    done = run(xengt(*arguments), stdout=closed_pipe)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_full_standard_output_is_a_failure(full_disk, arguments):
    done = run(xengt(*arguments), stdout=full_disk)
    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        "xengt: cannot write to standard output: No space left on device",
        "  redirect it to a file system with free space",
    ]


def test_without_a_standard_output_a_command_fails():
    done = run(["sh", "-c", 'exec "$@" >&-', "sh", *xengt("plan")])
    assert done.returncode == 3
    assert done.stderr.startswith("xengt: cannot write to standard output: Bad file descriptor\n")


def test_a_command_that_prints_nothing_needs_no_standard_output(full_disk):
    assert run(xengt("serve", "--dry-run"), stdout=full_disk).returncode == 0


def test_a_closed_standard_output_lets_the_command_clean_up(closed_pipe):
    done = run(
        program(WAITS.replace('"undone"', '"undone", file=sys.stderr')),
        stdout=closed_pipe,
    )
    assert (done.returncode, done.stderr) == (141, "undone\n")


def test_a_broken_pipe_elsewhere_is_not_taken_for_standard_output():
    body = "    import os\n    r, w = os.pipe()\n    os.close(r)\n    os.write(w, b'x')"
    done = run(program(body))
    assert done.returncode == 3
    assert "BrokenPipeError" in done.stderr


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
def test_lost_messages_do_not_change_the_result(redirection):
    def shell(*arguments):
        line = f'exec "$@" {redirection}'
        done = run(["sh", "-c", line, "sh", *arguments])
        assert done.stderr == ""
        return done.returncode, done.stdout

    warns = program("    print('warning', file=sys.stderr)\n    print('result')")
    assert shell(*warns) == (0, "result\n")
    assert shell(*xengt("handle", "none")) == (2, "")
    assert shell(*program("    1 / 0")) == (3, "")


def test_closed_messages_do_not_change_the_result(closed_pipe):
    warns = program("    print('warning', file=sys.stderr)\n    print('result')")
    done = run(warns, stderr=closed_pipe)
    assert (done.returncode, done.stdout) == (0, "result\n")


def test_text_that_the_encoding_lacks_is_escaped():
    body = r"    print('\u00b5 \u2026 \udcff')"
    done = run(program(body), env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\xb5 \\u2026 \\udcff\n", "")


def test_a_slow_reader_of_a_nonblocking_pipe_gets_everything():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    words = program("    print('x' * 1_000_000)")
    with subprocess.Popen(words, stdout=writer, stderr=subprocess.PIPE, text=True) as process:
        os.close(writer)
        with os.fdopen(reader) as file:
            text = file.read()
        assert process.stderr.read() == ""
    assert (process.returncode, len(text)) == (0, 1_000_001)
