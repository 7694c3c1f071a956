"""Notifications to systemd about the state of the service.

sd_notify(3) documents this protocol as stable and shows an implementation of this size. The package
systemd-python would bring a compiled binding of libsystemd, which has no wheels, for these lines.
"""

import os
import socket
import time
from contextlib import suppress


def notify(state: str) -> None:
    """Send a state to systemd; does nothing without NOTIFY_SOCKET.

    Args:
        state: `READY=1`, `WATCHDOG=1`, ..., several separated by newlines.
    """
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    # The agent runs on if systemd does not listen.
    with sender, suppress(OSError):
        sender.connect("\0" + path[1:] if path.startswith("@") else path)
        sender.sendall(state.encode())


def notify_reloading() -> None:
    """Announce that the configuration is being reloaded (`Type=notify-reload`)."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def watchdog_timeout_s() -> float | None:
    """Return the watchdog timeout that systemd has set, in seconds; None without a watchdog."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    return int(microseconds) / 1e6 if microseconds.isdigit() and pid == str(os.getpid()) else None
