"""Whether a device of Xen's can be had, by the one way to know: to open it.

What a user may open is not told by who he is. A capability may let him
(CAP_DAC_OVERRIDE of xengt.service), and a cgroup keep root from it (DeviceAllow=).
"""

import os
from pathlib import Path


def refusal(path: Path) -> OSError | None:
    """Open a device for reading and writing, and close it again.

    Args:
        path: of the device; none of /dev/xen does anything when it is only opened.

    Returns:
        What open(2) failed with; None: it opens.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error
    return None
