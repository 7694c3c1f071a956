"""Logging: structured records if journald reads standard error, otherwise lines there.

Uses journald's native protocol (systemd's docs/JOURNAL_NATIVE_PROTOCOL.md). Additional
fields of a record are given as `extra={"XENGT_STATUS": ...}`.
"""

import logging
import os
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from xengt.errors import XengtError

log = logging.getLogger(__name__)

SOCKET = Path("/run/systemd/journal/socket")
#: beginning of the names of additional fields
FIELD_PREFIX = "XENGT_"
_LENGTH = struct.Struct("<Q")
#: level → syslog's priority
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
_CRITICAL = 2


def configure(journal_socket: Path = SOCKET) -> None:
    """Configure the root logger, at level INFO, and log exceptions that end a thread.

    Args:
        journal_socket: journald's socket.
    """
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(logging.Formatter("xengt: %(levelname)s: %(message)s"))
    handler = JournalHandler(lines, journal_socket) if is_journal() else lines
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    threading.excepthook = _log_end_of_thread


def _log_end_of_thread(end: threading.ExceptHookArgs) -> None:
    name = end.thread.name if end.thread else "unknown"
    exception = end.exc_value or end.exc_type()
    log.critical("an exception ended the thread %s", name, exc_info=exception)


def is_journal() -> bool:
    """Return whether journald reads standard error (JOURNAL_STREAM, systemd.exec(5))."""
    stderr = os.fstat(2)
    return os.environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"


@contextmanager
def errors_logged() -> Iterator[None]:
    """Log an error that ends the command as one record if journald reads standard error.

    Raises:
        XengtError: without journald, unchanged.
        typer.Exit: in place of an error that has been logged, with its exit code.
    """
    try:
        yield
    except XengtError as error:
        if not is_journal():
            raise
        log.error("%s; %s" if error.remedy else "%s%s", error.what, error.remedy)  # noqa: TRY400
        raise typer.Exit(error.exit_code) from error


class JournalHandler(logging.Handler):
    """A handler that sends records to journald.

    Args:
        fallback: gets the records that cannot be sent.
        journal_socket: journald's socket.
    """

    def __init__(self, fallback: logging.Handler, journal_socket: Path) -> None:
        """Create a socket, without connecting it: journald may restart at any time."""
        super().__init__()
        # The journal has fields for the level, the time and the program.
        self.setFormatter(logging.Formatter("%(message)s"))
        self._fallback = fallback
        self._journal_socket = str(journal_socket)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record, or pass it to the fallback."""
        try:
            self._socket.sendto(datagram(self.format(record), record), self._journal_socket)
        except OSError:
            self._fallback.emit(record)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()


def datagram(message: str, record: logging.LogRecord) -> bytes:
    """Return a record in journald's native format.

    Args:
        message: of the record, with its traceback.
        record: gives the level, the place in the code and the additional fields.
    """
    additional = {
        key: str(value) for key, value in vars(record).items() if key.startswith(FIELD_PREFIX)
    }
    fields = {
        "MESSAGE": message,
        "PRIORITY": str(_PRIORITIES.get(record.levelno, _CRITICAL)),
        "SYSLOG_IDENTIFIER": "xengt",
        "CODE_FILE": record.pathname,
        "CODE_LINE": str(record.lineno),
        "CODE_FUNC": record.funcName or "",
        "LOGGER": record.name,
        **additional,
    }
    return b"".join(_field(name, value.encode()) for name, value in fields.items())


def _field(name: str, value: bytes) -> bytes:
    # A value with a newline is preceded by its length.
    if b"\n" in value:
        return name.encode() + b"\n" + _LENGTH.pack(len(value)) + value + b"\n"
    return name.encode() + b"=" + value + b"\n"
