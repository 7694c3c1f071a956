"""Where log records go: to journald with their fields, where it reads standard error; else lines.

Stands on journald's native protocol (systemd's docs/JOURNAL_NATIVE_PROTOCOL.md).
A record's own fields are given as `extra={"XENGT_STATUS": ...}`.
"""

import logging
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from xengt.errors import XengtError

log = logging.getLogger(__name__)

SOCKET = Path("/run/systemd/journal/socket")
#: what the names of a record's own fields begin with
OWN = "XENGT_"
_LENGTH = struct.Struct("<Q")
#: level → syslog's priority
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
_CRITICAL = 2


def start(place: Path = SOCKET) -> None:
    """Have records of all loggers told.

    Args:
        place: journald's socket.
    """
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(logging.Formatter("xengt: %(levelname)s: %(message)s"))
    handler = JournalHandler(lines, place) if is_journal() else lines
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def is_journal() -> bool:
    """Whether journald reads standard error (JOURNAL_STREAM, systemd.exec(5))."""
    error = os.fstat(2)
    return os.environ.get("JOURNAL_STREAM") == f"{error.st_dev}:{error.st_ino}"


@contextmanager
def errors_logged() -> Iterator[None]:
    """Make what ends the command one record of the journal; elsewhere it is told as ever.

    Raises:
        typer.Exit: in place of an error that has been told, with its exit code.
    """
    try:
        yield
    except XengtError as error:
        if not is_journal():
            raise
        log.error("%s; %s" if error.remedy else "%s%s", error.what, error.remedy)  # noqa: TRY400
        raise typer.Exit(error.exit_code) from error


class JournalHandler(logging.Handler):
    """Sends records to journald.

    Args:
        otherwise: gets those that journald does not take.
        place: its socket.
    """

    def __init__(self, otherwise: logging.Handler, place: Path) -> None:
        """Make the socket; journald may start and go as it likes."""
        super().__init__()
        # Its level, its time and whose it is are fields of their own.
        self.setFormatter(logging.Formatter("%(message)s"))
        self._otherwise = otherwise
        self._place = str(place)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record, or give it to the other handler."""
        try:
            self._socket.sendto(datagram(self.format(record), record), self._place)
        except OSError:
            self._otherwise.emit(record)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()


def datagram(message: str, record: logging.LogRecord) -> bytes:
    """A record as journald reads it.

    Args:
        message: the record's, with its traceback.
        record: whose level, place and own fields go along.
    """
    own = {key: str(value) for key, value in vars(record).items() if key.startswith(OWN)}
    fields = {
        "MESSAGE": message,
        "PRIORITY": str(_PRIORITIES.get(record.levelno, _CRITICAL)),
        "SYSLOG_IDENTIFIER": "xengt",
        "CODE_FILE": record.pathname,
        "CODE_LINE": str(record.lineno),
        "CODE_FUNC": record.funcName or "",
        "LOGGER": record.name,
        **own,
    }
    return b"".join(_field(name, value.encode()) for name, value in fields.items())


def _field(name: str, value: bytes) -> bytes:
    # By its length where a newline would end it.
    if b"\n" in value:
        return name.encode() + b"\n" + _LENGTH.pack(len(value)) + value + b"\n"
    return name.encode() + b"=" + value + b"\n"
