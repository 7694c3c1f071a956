"""The active entries of grant tables, as Xen prints them."""

import time
from collections.abc import Sequence

from patience import patient

from xenlib_cffi.ctrl import Ctrl


def active_entries(ctrl: Ctrl, domids: Sequence[int]) -> str:
    """Return the active entries of some domains as debug key g prints them; "" if none."""
    ctrl.console(clear=True)
    ctrl.send_debug_keys("g")
    deadline = time.monotonic() + patient(120)
    while "gnttab_usage_print_all ] done" not in (output := ctrl.console()):
        assert time.monotonic() < deadline, "the output of debug key g does not end"
        time.sleep(0.05)
    lines, ours = [], False
    for line in output.splitlines():
        if "for remote d" in line:
            ours = int(line.split("for remote d")[1].split()[0].rstrip(":(")) in domids
        elif ours and "[0x" in line:
            lines.append(line)
    return "\n".join(lines)
