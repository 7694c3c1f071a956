"""Wait for another thread or process."""

import time

from tests.patience import patient


def wait_until(condition, seconds=20):
    """Wait until a condition holds, or for some time; return its last value."""
    end = time.monotonic() + patient(seconds)
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()
