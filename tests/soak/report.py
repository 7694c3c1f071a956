"""What a soak has observed."""

import threading
from dataclasses import dataclass, field

from tests.soak.process_state import ProcessState


@dataclass
class Report:
    """The observations of one soak.

    Attributes:
        scrapes, domains, reloads, restarts, scans: how many there were.
        rounds: of the probe.
        states: of the agent, at rest: before the first hour, and after each one.
        pids: of the agent, each once.
        failures: what went wrong, one sentence each.
        seconds: duration.
    """

    scrapes: int = 0
    domains: int = 0
    reloads: int = 0
    restarts: int = 0
    scans: int = 0
    rounds: float = 0
    states: list[ProcessState] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0

    def count(self, name: str) -> None:
        """Count an event; any thread may call it."""
        with _counting:
            setattr(self, name, getattr(self, name) + 1)


_counting = threading.Lock()
