"""Log records: what is sent to journald, and what is written if there is no journald."""

import logging
import os
import socket
import struct
import subprocess
import sys
import threading

import pytest
import typer

from tests.patience import patient
from xengt.errors import UnmetError
from xengt.serve import logs

log = logging.getLogger("xengt.test")


def fields(datagram: bytes) -> dict[str, str]:
    """Parse as journald does: NAME=VALUE up to a newline, or NAME, a length and so many bytes."""
    found = {}
    while datagram:
        line, _, rest = datagram.partition(b"\n")
        name, sign, value = line.partition(b"=")
        if not sign:
            (length,) = struct.unpack_from("<Q", rest)
            value, rest = rest[8 : 8 + length], rest[8 + length :]
            assert rest[:1] == b"\n"
            rest = rest[1:]
        assert name.decode() not in found
        found[name.decode()], datagram = value.decode(), rest
    return found


@pytest.fixture
def journald(tmp_path):
    """A function that returns the fields of the next record sent to a fake journald."""
    receiving = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiving.bind(str(tmp_path / "journal"))
    receiving.settimeout(10)
    yield lambda: fields(receiving.recv(1 << 20))
    receiving.close()


class RecordingHandler(logging.Handler):
    """Appends the messages of its records to a list."""

    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


@pytest.fixture
def unsent(tmp_path):
    """Install a handler for the fake journald; the messages that it cannot send."""
    fallback = RecordingHandler()
    handler = logs.JournalHandler(fallback, tmp_path / "journal")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield fallback.messages
    log.setLevel(logging.NOTSET)
    log.removeHandler(handler)
    handler.close()


def test_a_record_has_message_place_and_additional_fields(journald, unsent):
    log.warning("it %s", "failed", extra={"XENGT_STATUS": "GNTST_no_space", "XENGT_DOMID": 7})
    found = journald()
    assert found.pop("CODE_FILE") == __file__
    assert int(found.pop("CODE_LINE")) > 0
    assert found == {
        "MESSAGE": "it failed",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "xengt",
        "CODE_FUNC": "test_a_record_has_message_place_and_additional_fields",
        "LOGGER": "xengt.test",
        "XENGT_STATUS": "GNTST_no_space",
        "XENGT_DOMID": "7",
    }
    assert unsent == []


@pytest.mark.usefixtures("unsent")
@pytest.mark.parametrize(
    ("level", "priority"),
    [
        (logging.INFO, "6"),
        (logging.WARNING, "4"),
        (logging.ERROR, "3"),
        (logging.CRITICAL, "2"),
        (logging.CRITICAL + 5, "2"),
    ],
)
def test_a_level_becomes_a_priority(journald, level, priority):
    log.log(level, "x")
    assert journald()["PRIORITY"] == priority


@pytest.mark.usefixtures("unsent")
def test_a_newline_does_not_end_a_field(journald):
    text = "one\nPRIORITY=0\n\ntwo ä\n"
    log.error(text, extra={"XENGT_STATUS": "a\nb=c"})
    found = journald()
    assert (found["MESSAGE"], found["XENGT_STATUS"], found["PRIORITY"]) == (text, "a\nb=c", "3")


@pytest.mark.usefixtures("unsent")
def test_a_traceback_is_part_of_its_record(journald):
    try:
        int("unheard of")
    except ValueError:
        log.exception("it failed")
    first, *_, last = journald()["MESSAGE"].splitlines()
    assert first == "it failed"
    assert last.startswith("ValueError: ")


def test_records_that_cannot_be_sent_go_to_the_fallback(unsent, request):
    log.warning("no one listens")
    receive = request.getfixturevalue("journald")
    log.warning("x" * (1 << 22))  # more than a datagram holds
    log.warning("journald is back")
    assert receive()["MESSAGE"] == "journald is back"
    assert [len(message) for message in unsent] == [14, 1 << 22]


#: logs a warning, and ends with an error
PROGRAM = """
import sys
from xengt.errors import UnmetError
from xengt.serve import logs
logs.configure(sys.argv[1])
logs.log.warning("a warning")
with logs.errors_logged():
    raise UnmetError("the key is unknown", "remove it")
"""


def run_program(journal_socket, stderr, journal_stream):
    """Run the program with this standard error and JOURNAL_STREAM."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, journal_socket],
        stderr=stderr,
        env=os.environ | {"JOURNAL_STREAM": journal_stream},
        check=False,
        timeout=patient(60),
    )


def test_under_systemd_messages_go_to_the_journal(journald, tmp_path):
    with (tmp_path / "stderr").open("w+") as stderr:
        status = os.fstat(stderr.fileno())
        run_program(tmp_path / "journal", stderr, f"{status.st_dev}:{status.st_ino}")
        assert journald()["MESSAGE"] == "a warning"
        error = journald()
        assert (error["MESSAGE"], error["PRIORITY"]) == ("the key is unknown; remove it", "3")
        stderr.seek(0)
        assert "a warning" not in stderr.read()


def test_without_systemd_messages_are_lines_on_stderr(tmp_path):
    with (tmp_path / "stderr").open("w+") as stderr:
        run_program(tmp_path / "journal", stderr, "1:2")
        stderr.seek(0)
        first, *_, last = stderr.read().splitlines()
    assert first == "xengt: WARNING: a warning"
    assert last.endswith("UnmetError: the key is unknown")


def test_an_error_that_has_been_logged_keeps_its_exit_code(monkeypatch, caplog):
    monkeypatch.setattr(logs, "is_journal", lambda: True)
    with pytest.raises(typer.Exit) as ended, logs.errors_logged():
        raise UnmetError("there is no remedy")
    assert ended.value.exit_code == 2
    assert caplog.messages == ["there is no remedy"]
    monkeypatch.setattr(logs, "is_journal", lambda: False)
    with pytest.raises(UnmetError), logs.errors_logged():
        raise UnmetError("printed by the command")


def test_the_exception_that_ends_a_thread_is_logged(monkeypatch, caplog):
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)  # restored afterwards
    monkeypatch.setattr(logs, "is_journal", lambda: False)
    logs.configure()
    thread = threading.Thread(target=lambda: 1 / 0, name="a-thread")
    thread.start()
    thread.join()
    (record,) = caplog.records
    assert record.message == "an exception ended the thread a-thread"
    assert record.levelno == logging.CRITICAL
    assert "ZeroDivisionError" in caplog.text
