"""What a soak consists of: a day of the agent, and what of it is accelerated.

An hour of the day lasts as long as its events take, which is seconds instead of 3,600 s.
`REAL_HOUR` has as many rounds and scrapes as a real hour at the default intervals, 200 domains per
minute, and more reloads, restarts and scans than a real one. Not accelerated are the time limits of
the agent itself: those of connections, of XenStore, and of threads that have died.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

#: probe.interval_s and the scrape interval of deploy/prometheus/prometheus.yml, in seconds
INTERVAL_S = 15
#: name of a created domain, by its domid
NAME = "soak-{}"


@dataclass(frozen=True)
class Hour:
    """The events of one hour.

    Attributes:
        rounds: of the probe, at least.
        scrapes: of each client; a slow one makes `slow_scrapes`.
        domains: created and destroyed.
        reloads: accepted ones, and the same number of rejected ones.
        restarts: of xenstored.
        scans: of the port.
    """

    rounds: int
    scrapes: int
    slow_scrapes: int
    domains: int
    reloads: int
    restarts: int
    scans: int

    def with_part(self, part: float) -> Self:
        """Return an hour with fewer rounds, scrapes and domains."""
        return replace(
            self,
            rounds=round(part * self.rounds),
            scrapes=round(part * self.scrapes),
            domains=round(part * self.domains),
        )


#: A slow client takes seconds for a scrape.
REAL_HOUR = Hour(
    rounds=3600 // INTERVAL_S,
    scrapes=3600 // INTERVAL_S,
    slow_scrapes=3,
    domains=200 * 60,
    reloads=2,
    restarts=1,
    scans=2,
)


@dataclass(frozen=True)
class Soak:
    """A number of equal hours.

    Attributes:
        hours: at least 4, as the memory is examined in the second half.
        hour: the events of each.
        leak: growth of the agent's memory, from the third to the last quarter, that is a leak, in
            bytes.
    """

    hours: int
    hour: Hour
    leak: int


@dataclass(frozen=True)
class Client:
    """How a client scrapes.

    Attributes:
        compressed: whether it accepts gzip.
        keep_alive: whether it reuses its connection.
        openmetrics: whether it prefers that format.
        slow: whether it reads slowly, with a small receive buffer.
    """

    compressed: bool = True
    keep_alive: bool = True
    openmetrics: bool = False
    slow: bool = False


#: three as Prometheus, and others; all are well-behaved, so that each of their scrapes is answered
CLIENTS: Sequence[Client] = (
    Client(openmetrics=True),
    Client(openmetrics=True),
    Client(openmetrics=True),
    Client(),
    Client(compressed=False),
    Client(keep_alive=False),
    Client(compressed=False, keep_alive=False),
    Client(keep_alive=False, openmetrics=True),
    Client(compressed=False, slow=True),
    Client(keep_alive=False, slow=True),
)
