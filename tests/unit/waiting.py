"""Wait for what another thread or process does."""

import time

from tests.patience import patient


def waits_until(condition, seconds=20):
    end = time.monotonic() + patient(seconds)
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()
