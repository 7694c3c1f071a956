"""QEMU's monitor, on a Unix socket."""

import socket
from pathlib import Path
from typing import Self

from lablib.errors import LabError

PROMPT = b"(qemu) "
TIMEOUT = 120.0
"""Seconds until a command counts as failed because QEMU sends nothing."""


class Monitor:
    """A connection to QEMU's human monitor; QMP lacks some of the commands that the lab needs.

    Args:
        path: the monitor's Unix socket.

    Raises:
        LabError: the connection is refused, or there is no prompt within TIMEOUT.
    """

    def __init__(self, path: Path) -> None:
        """Connect and wait for the first prompt."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(TIMEOUT)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            raise LabError(f"QEMU's monitor {path} cannot be reached: {error.strerror}") from error
        self._read_to_prompt()

    def __enter__(self) -> Self:
        """Return the monitor."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self._socket.close()

    def do(self, command: str) -> str:
        """Run one command and return its output.

        Raises:
            LabError: QEMU closed the connection, or sent nothing for TIMEOUT.
        """
        try:
            self._socket.sendall(command.encode() + b"\n")
        except OSError as error:
            raise LabError(f"QEMU's monitor does not respond: {error}") from error
        # QEMU echoes the command with control sequences; the output begins on the next line.
        return self._read_to_prompt().partition("\n")[2].strip()

    def _read_to_prompt(self) -> str:
        output = b""
        try:
            while not output.endswith(PROMPT):
                data = self._socket.recv(65536)
                if not data:
                    raise LabError("QEMU closed the connection to its monitor")
                output += data
        except OSError as error:
            raise LabError(f"QEMU's monitor does not respond: {error}") from error
        return output[: -len(PROMPT)].decode(errors="replace").replace("\r", "")
