"""Time limits of tests, scaled to the current speed of the machine.

A test states its limit in seconds on the reference machine. Machines differ in speed by a factor
of three and may be busy, so `patient` multiplies the limit by the time that a fixed piece of work
takes now, relative to the reference machine. This file is also copied into a lab's dom0, for the
tests that run there.
"""

import time
from functools import lru_cache
from pathlib import Path

#: factor on every limit, so that an idle reference machine uses a fifth of it
MARGIN = 5

#: seconds for which `patient` uses a measurement again, because one takes 0.3 s in dom0
MEASUREMENT_LASTS_S = 15

#: duration of `_work` on the idle reference machine, in seconds
REFERENCE_S = 0.012
#: the same in dom0 of a lab on that machine, where QEMU emulates every instruction
REFERENCE_DOM0_S = 0.3


def patient(seconds: float) -> float:
    """Return a time limit in seconds, scaled to the current speed of this machine.

    Args:
        seconds: the usual upper bound on the reference machine.
    """
    return MARGIN * seconds * _recent_slowness(int(time.monotonic() // MEASUREMENT_LASTS_S))


def slowness() -> float:
    """Return how much slower than the reference machine this one is now: a factor of at least 1."""
    usual = REFERENCE_DOM0_S if Path("/proc/xen/capabilities").exists() else REFERENCE_S
    began = time.monotonic()
    _work()
    return max(1.0, (time.monotonic() - began) / usual)


@lru_cache(maxsize=1)
def _recent_slowness(_period: int) -> float:
    return slowness()


def _work() -> None:
    """Keep the CPU busy for longer than a scheduler time slice, so that other load is noticed."""
    total = 0
    for number in range(400_000):
        total ^= number
