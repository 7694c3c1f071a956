"""Identifies the process that created an empty domain by the domain's UUID."""

import os
import struct
from collections.abc import Iterable
from pathlib import Path

from xenlib_cffi.ctrl import Ctrl

#: prefix, pid, and upper 16 and lower 32 bits of the start time
_UUID = struct.Struct("<6sIHI")
_PREFIX = b"xengt\0"
#: index of field 22, starttime, among the fields of proc_pid_stat(5) after the state
_STARTTIME = 18


def uuid() -> bytes:
    """Return the UUID, 16 bytes, for a domain that this process creates."""
    start = _start_time(os.getpid())
    return _UUID.pack(_PREFIX, os.getpid(), start >> 32 & 0xFFFF, start & 0xFFFFFFFF)


def is_ours(uuid: bytes) -> bool:
    """Return whether a domain was created by any process of xengt.

    Args:
        uuid: the domain's UUID, 16 bytes.
    """
    return uuid.startswith(_PREFIX)


def existing(ctrl: Ctrl, domids: Iterable[int]) -> list[int]:
    """Return the domids of domains that this process created and nobody has destroyed.

    A domid is used again, so it does not identify a domain that may have been destroyed.

    Args:
        ctrl: an open handle of libxenctrl.
        domids: of domains that this process created.
    """
    wanted, own = set(domids), uuid()
    return [
        domain.domid
        for domain in ctrl.domains()
        if domain.domid in wanted and domain.uuid == own and not domain.dying
    ]


def is_alive(uuid: bytes) -> bool:
    """Return whether the process that created a domain still runs.

    Args:
        uuid: the UUID, 16 bytes, of a domain for which `is_ours` is true.
    """
    pid, high, low = (int(field) for field in _UUID.unpack(uuid)[1:])
    # Pids are reused; a pid together with its start time identifies a process.
    return _start_time(pid) == high << 32 | low


def _start_time(pid: int) -> int:
    """Return the start time of a process in clock ticks since boot; 0 if it does not run."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # The second field, the command, may contain spaces and parentheses.
    state, *fields = stat.rpartition(")")[2].split()
    return 0 if state in {"Z", "X"} else int(fields[_STARTTIME])
