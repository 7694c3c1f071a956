"""QEMU's monitor, on a Unix socket."""

import socket
from pathlib import Path
from typing import Self

from lablib.errors import LabError

PROMPT = b"(qemu) "


class Monitor:
    """A connection to QEMU's human monitor: QMP lacks some of the commands that the lab needs.

    Args:
        path: its socket.

    Raises:
        LabError: nobody listens there, or no prompt comes.
    """

    def __init__(self, path: Path) -> None:
        """Connect, and wait for the first prompt."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(120)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            raise LabError(f"QEMU's monitor {path} cannot be reached: {error.strerror}") from error
        self._answer()

    def __enter__(self) -> Self:
        """Give the monitor."""
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        self._socket.close()

    def do(self, command: str) -> str:
        """Run one command and return what it said.

        Raises:
            LabError: QEMU hung up, or is silent.
        """
        self._socket.sendall(command.encode() + b"\n")
        # It echoes what it is sent, with a terminal's control sequences; the answer begins after.
        return self._answer().partition("\n")[2].strip()

    def _answer(self) -> str:
        said = b""
        try:
            while not said.endswith(PROMPT):
                more = self._socket.recv(65536)
                if not more:
                    raise LabError("QEMU hung up its monitor")
                said += more
        except OSError as error:
            raise LabError(f"QEMU's monitor is silent: {error}") from error
        return said[: -len(PROMPT)].decode(errors="replace").replace("\r", "")
