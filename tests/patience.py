"""How long a test waits before something counts as hung: as long as this machine needs.

Limits are given as seconds on the machine they were chosen on. Machines differ in speed by a factor
of three, and run other things meanwhile; so a limit is stretched by what a piece of work takes here
and now. The tests in a lab's dom0 use this file as well: see `DOM0`.
"""

import time
from pathlib import Path

#: A quiet machine needs a fifth of every limit.
MARGIN = 5

#: Seconds that `_work` takes on the machine the limits were chosen on, when it is quiet.
HERE = 0.012
#: The same in dom0 of a lab on that machine, where QEMU emulates every instruction.
DOM0 = 0.3


def patient(seconds: float) -> float:
    """Return the seconds to wait for what usually takes fewer than `seconds`.

    Args:
        seconds: the limit on the machine the limits were chosen on.
    """
    return MARGIN * seconds * slowness()


def slowness() -> float:
    """Return how many times as long as usual this machine needs now; at least 1."""
    usual = DOM0 if Path("/proc/xen/capabilities").exists() else HERE
    began = time.monotonic()
    _work()
    return max(1.0, (time.monotonic() - began) / usual)


def _work() -> None:
    """Keep the CPU busy, for longer than a scheduler lets others wait."""
    total = 0
    for number in range(400_000):
        total ^= number
