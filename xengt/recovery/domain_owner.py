"""Whose an empty domain is: its UUID names the process that made it, alive or not."""

import os
import struct
from pathlib import Path

_UUID = struct.Struct("<6sIHI")
_MARK = b"xengt\0"


def uuid() -> bytes:
    """The UUID, 16 bytes, for a domain of this process."""
    started = _started(os.getpid())
    return _UUID.pack(_MARK, os.getpid(), started >> 32 & 0xFFFF, started & 0xFFFFFFFF)


def is_ours(uuid: bytes) -> bool:
    """Whether a domain was made by xengt, whichever process of it."""
    return uuid.startswith(_MARK)


def is_alive(uuid: bytes) -> bool:
    """Whether the process that made a domain of ours still runs.

    Args:
        uuid: 16 bytes, one that `is_ours`.
    """
    pid, high, low = (int(field) for field in _UUID.unpack(uuid)[1:])
    # A pid is used again; together with the start it is not.
    return _started(pid) == high << 32 | low


def _started(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 when there is none, or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # The second field, the command, may hold spaces and parentheses.
    state, *fields = stat.rpartition(")")[2].split()
    return 0 if state in {"Z", "X"} else int(fields[18])
