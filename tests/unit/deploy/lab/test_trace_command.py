"""`lab trace` as a command: its options, the load that it starts, and QEMU's monitor."""

import argparse
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from lablib import places, session
from lablib.errors import LabError
from lablib.monitor import Monitor
from lablib.qemu import Machine
from lablib.trace import capture, command

from tests.unit.deploy.lab.executed_log import write_log


def test_qemu_has_a_monitor_only_with_a_socket_path():
    def words(**options):
        return Machine(Path("/x/xen"), **options).command(1, "KEY", Path("/x/console"))

    assert "-monitor" not in words()
    command = words(monitor=Path("/x/monitor"))
    assert command[command.index("-monitor") + 1].startswith("unix:/x/monitor,")
    assert command[command.index("-dfilter") + 1].startswith("0xffff82d04")


@pytest.fixture
def qemu(tmp_path):
    """A fake monitor of QEMU: its socket and the commands that it received."""
    commands: list[str] = []
    listener = socket.socket(socket.AF_UNIX)
    path = tmp_path / "monitor"
    listener.bind(str(path))
    listener.listen()

    def serve():
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as lines:
            connection.sendall(b"QEMU 7.2 monitor\r\n(qemu) ")
            for line in lines:
                commands.append(line.decode().strip())
                last = commands[-1]
                if last == "quit":
                    return
                output = b"Invalid addr\r\n" if last.startswith("memsave") else b""
                if last == "cont" and commands[-2].startswith("log exec"):
                    write_log([1, 2, 1, 2], path.with_name("log"))
                elif last.startswith("logfile") and "null" not in last:
                    write_log([], path.with_name("log"))
                connection.sendall(line.strip() + b"\x1b[K\r\n" + output + b"(qemu) ")

    server = threading.Thread(target=serve)
    server.start()
    yield path, commands
    listener.close()
    server.join()


def test_recording_restores_the_machine_even_after_an_error(qemu):
    path, commands = qemu
    with Monitor(path) as monitor:
        capture.record(monitor, path.with_name("log"), 2, 2, 10)
        assert commands[0] == "stop"
        assert commands[-3:] == ["logfile /dev/null", "singlestep off", "cont"]
        with pytest.raises(LabError, match="did not execute 0x2 3 times"):
            capture.record(monitor, path.with_name("log"), 2, 3, 0.1)
        assert commands[-3:] == ["logfile /dev/null", "singlestep off", "cont"]
        with pytest.raises(LabError, match="0x10 cannot be read: Invalid addr"):
            capture.memory(monitor, 0x10, 4, path.parent / "none")
        with pytest.raises(LabError, match="closed the connection"):
            monitor.do("quit")


def test_a_missing_monitor_is_an_error(tmp_path):
    with pytest.raises(LabError, match="cannot be reached"):
        Monitor(tmp_path / "none")


def test_help_has_an_example():
    lab = places.LAB / "lab"
    done = subprocess.run([lab, "trace", "--help"], check=True, capture_output=True, text=True)
    for word in ("--syms", "--batch", "--mappings", "--by", "--json", "example: lab trace"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("options", "granter"),
    [([], "guest"), (["--granter", "self"], "self"), (["--mapper", "pvh"], "empty")],
)
def test_the_granter_depends_on_the_mapper(options, granter):
    parser = argparse.ArgumentParser()
    command.add_options(parser)
    args = parser.parse_args(options)
    command.set_defaults(args)
    assert args.granter == granter


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--granter", "guest"], "--granter has no effect with --mapper pv"),
        (["--engine", "gntdev"], "--engine has no effect with --mapper pv"),
        (["--batch", "129"], "--batch 129 is out of range"),
    ],
)
def test_options_that_a_guest_does_not_support_are_an_error(options, message):
    parser = argparse.ArgumentParser()
    command.add_options(parser)
    with pytest.raises(LabError, match=message) as refused:
        command.set_defaults(parser.parse_args(["--mapper", "pv", *options]))
    assert refused.value.exit_code == 2


def test_the_largest_batch_of_a_guest_is_that_of_its_code():
    source = (places.LAB / "mapper/guest/loops.c").read_text()
    assert f"#define BATCH {command.MAX_MAPPER_BATCH}\n" in source


def test_only_a_lab_with_the_instruction_clock_can_be_traced(tmp_path):
    lab = argparse.Namespace(exact=False, name="one")
    with pytest.raises(LabError, match="one cannot be traced: it has two vCPUs") as refused:
        command.record_trace(lab, tmp_path, argparse.Namespace(), tmp_path)
    assert refused.value.exit_code == 2


def test_a_lab_has_a_monitor_unless_its_path_is_too_long_for_a_socket(tmp_path):
    assert session._monitor(tmp_path) == tmp_path / "monitor"
    assert session._monitor(tmp_path / ("x" * 100)) is None


@pytest.fixture
def load_that_ends(monkeypatch):
    """Returns a function that traces a lab whose ssh runs a shell script instead."""

    def trace(script: str) -> None:
        monkeypatch.setattr(command.remote, "ssh", lambda _: ["sh", "-c", script])
        with command._running(None, ["true"]):
            raise AssertionError("the load has not started")

    return trace


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exit 255", "ssh ended with exit code 255 and without a message"),
        ("echo no such domain >&2; exit 1", "no such domain"),
    ],
)
def test_a_load_that_does_not_start_is_an_error(load_that_ends, script, message):
    with pytest.raises(LabError, match=f"did not start in dom0: {message}"):
        load_that_ends(script)
