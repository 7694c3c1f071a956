"""Checks access to device files by opening them.

The uid alone does not decide access: a capability may grant it
(CAP_DAC_OVERRIDE of xengt.service), and a cgroup may deny it to root (DeviceAllow=).
"""

import os
from pathlib import Path


def open_error(path: Path) -> OSError | None:
    """Open a device file for reading and writing, and close it.

    Args:
        path: the device file; opening one of /dev/xen has no side effect.

    Returns:
        The error of open(2), or None if the device can be opened.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error
    return None
