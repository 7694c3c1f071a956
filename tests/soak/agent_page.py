"""What the agent shows of itself, for a driver that waits for it."""

import re
import time
import urllib.request
from collections.abc import Callable

from tests.patience import patient

ROUNDS = "xengt_probe_rounds_total"


class AgentPage:
    """The pages of an agent.

    Args:
        address: of the agent.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    def metric(self, name: str) -> float:
        """Return the value of a metric, the least of all its series."""
        series = rf"^{name}(?:\{{.*\}})? (\S+)$"
        return min(map(float, re.findall(series, self._get("/metrics"), re.MULTILINE)))

    def wait_for(self, name: str, met: Callable[[float], bool]) -> None:
        """Wait until the value of a metric meets a condition.

        Raises:
            TimeoutError: it does not.
        """
        _wait(lambda: met(self.metric(name)), name)

    def wait_for_name(self, name: str) -> None:
        """Wait until a domain is shown with its name.

        Raises:
            TimeoutError: it is not.
        """
        _wait(lambda: f'name="{name}"' in self._get("/metrics"), name)

    def is_ready(self) -> bool:
        return self._get("/-/ready") == "xengt is ready\n"

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{self._address}{path}", timeout=patient(30)) as answer:
            return str(answer.read().decode())


def _wait(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + patient(120)
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"the agent has not shown what was expected of {what}")
        time.sleep(0.05)
