"""Telling systemd how the service is (sd_notify(3))."""

import os
import socket
import time
from contextlib import suppress


def notify(state: str) -> None:
    """Send a state; nothing where systemd has not asked for any.

    Args:
        state: `READY=1`, `WATCHDOG=1`, ..., several with newlines between.
    """
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    sending = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    # It is no reason to end that systemd is not there to be told.
    with sending, suppress(OSError):
        sending.connect("\0" + path[1:] if path.startswith("@") else path)
        sending.sendall(state.encode())


def reloading() -> None:
    """Say that the configuration is being read again (`Type=notify-reload`)."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def watchdog_s() -> float | None:
    """How often systemd wants a sign of life, in seconds; None: never."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    return int(microseconds) / 1e6 if microseconds.isdigit() and pid == str(os.getpid()) else None
