"""What journald is sent of a log record, and who gets it where there is none."""

import logging
import os
import socket
import struct
import subprocess
import sys

import pytest
import typer

from tests.patience import patient
from xengt.errors import UnmetError
from xengt.serve import logs

log = logging.getLogger("xengt.test")


def fields(datagram: bytes) -> dict[str, str]:
    """Read as journald does: NAME=VALUE up to a newline, or NAME, a length and so many bytes."""
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
    """A socket that takes what is sent to it; as many records as are asked for."""
    receiving = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiving.bind(str(tmp_path / "journal"))
    receiving.settimeout(10)
    yield lambda: fields(receiving.recv(1 << 20))
    receiving.close()


class Kept(logging.Handler):
    """Keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


@pytest.fixture
def unsent(tmp_path):
    """A handler that sends there, in use; what it could not send."""
    kept = Kept()
    made = logs.JournalHandler(kept, tmp_path / "journal")
    log.addHandler(made)
    log.setLevel(logging.INFO)
    yield kept.messages
    log.setLevel(logging.NOTSET)
    log.removeHandler(made)
    made.close()


def test_a_record_has_its_message_its_place_and_its_own_fields(journald, unsent):
    log.warning("it %s", "failed", extra={"XENGT_STATUS": "GNTST_no_space", "XENGT_DOMID": 7})
    found = journald()
    assert found.pop("CODE_FILE") == __file__
    assert int(found.pop("CODE_LINE")) > 0
    assert found == {
        "MESSAGE": "it failed",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "xengt",
        "CODE_FUNC": "test_a_record_has_its_message_its_place_and_its_own_fields",
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
def test_a_level_is_a_priority(journald, level, priority):
    log.log(level, "x")
    assert journald()["PRIORITY"] == priority


@pytest.mark.usefixtures("unsent")
def test_a_newline_ends_no_field(journald):
    text = "one\nPRIORITY=0\n\ntwo ä\n"
    log.error(text, extra={"XENGT_STATUS": "a\nb=c"})
    found = journald()
    assert (found["MESSAGE"], found["XENGT_STATUS"], found["PRIORITY"]) == (text, "a\nb=c", "3")


@pytest.mark.usefixtures("unsent")
def test_a_traceback_is_one_record(journald):
    try:
        int("unheard of")
    except ValueError:
        log.exception("it failed")
    first, *_, last = journald()["MESSAGE"].splitlines()
    assert first == "it failed"
    assert last.startswith("ValueError: ")


def test_what_journald_does_not_take_is_not_lost(unsent, request):
    log.warning("nobody is there")
    take = request.getfixturevalue("journald")
    log.warning("x" * (1 << 22))  # more than a datagram holds
    log.warning("it is back")
    assert take()["MESSAGE"] == "it is back"
    assert [len(message) for message in unsent] == [15, 1 << 22]


SAY = """
import sys
from xengt.errors import UnmetError
from xengt.serve import logs
logs.start(sys.argv[1])
logs.log.warning("said")
with logs.errors_logged():
    raise UnmetError("this key cannot be", "another can")
"""


def said(place, error, stream):
    """What a process says on a standard error that JOURNAL_STREAM names so."""
    return subprocess.run(
        [sys.executable, "-c", SAY, place],
        stderr=error,
        env=os.environ | {"JOURNAL_STREAM": stream},
        check=False,
        timeout=patient(60),
    )


def test_under_systemd_the_journal_is_told(journald, tmp_path):
    with (tmp_path / "stderr").open("w+") as error:
        status = os.fstat(error.fileno())
        said(tmp_path / "journal", error, f"{status.st_dev}:{status.st_ino}")
        assert journald()["MESSAGE"] == "said"
        ending = journald()
        assert (ending["MESSAGE"], ending["PRIORITY"]) == ("this key cannot be; another can", "3")
        error.seek(0)
        assert "said" not in error.read()


def test_elsewhere_there_are_lines(tmp_path):
    with (tmp_path / "stderr").open("w+") as error:
        said(tmp_path / "journal", error, "1:2")
        error.seek(0)
        first, *_, last = error.read().splitlines()
    assert first == "xengt: WARNING: said"
    assert last.endswith("UnmetError: this key cannot be")


def test_an_error_that_has_been_told_keeps_its_exit_code(monkeypatch, caplog):
    monkeypatch.setattr(logs, "is_journal", lambda: True)
    with pytest.raises(typer.Exit) as ended, logs.errors_logged():
        raise UnmetError("nothing can be done")
    assert ended.value.exit_code == 2
    assert caplog.messages == ["nothing can be done"]
    monkeypatch.setattr(logs, "is_journal", lambda: False)
    with pytest.raises(UnmetError), logs.errors_logged():
        raise UnmetError("it is told elsewhere")
