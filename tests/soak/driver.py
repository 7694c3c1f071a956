"""Drives a soak: the load of each hour, and what the agent is like when it rests after it."""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.patience import patient
from tests.soak import process_state
from tests.soak.agent_page import ROUNDS, AgentPage
from tests.soak.host import Host
from tests.soak.load import CLIENTS, NAME, Client, Hour, Soak
from tests.soak.report import Report
from tests.soak.scanning import scan
from tests.soak.scraping import ScrapingClient

#: rounds without a pause, which the CPU budget of the default would require
BUSY = "[probe]\ninterval_s = 0.001\ncpu_budget = 1.0\n"
#: one round, with cases that others do not have, and no other while the agent is examined
RESTING = "[probe]\ninterval_s = 3600\ncpu_budget = 1.0\nbatches = [2]\n"
#: longer than the time between two attempts of the agent to connect to xenstored, in seconds
REST_S = 5.0
#: each changes something else than the one before: the probe, the page, or the number of domains
ACCEPTED = (
    "calls = 8\n",
    'calls = 8\n[host]\nprofile = "lean"\n',
    "calls = 9\n[host]\ndomains = 100\n",
    "calls = 9\n",
)
REJECTED = (
    "[probe\n",
    "[listen]\nport = 'x'\n",
    "[listen]\naddress = '203.0.113.1'\n",  # for documentation (RFC 5737): no host has it
    "[listen]\nweb_config = '/'\n",
    "[probe]\ncalls = 0\n",
)
#: domains that exist at the same time
DOMAINS = 20


class Driver:
    """Runs one soak.

    Args:
        soak: what it consists of.
        host: the agent's; the agent is running.
    """

    def __init__(self, soak: Soak, host: Host) -> None:
        self._soak = soak
        self._host = host
        self._page = AgentPage(host.address)
        self._accepted, self._rejected = deque(ACCEPTED), deque(REJECTED)
        self.report = Report()

    def run(self) -> Report:
        """Run all hours."""
        began = time.monotonic()
        self._rest()
        for _ in range(self._soak.hours):
            self._load(self._soak.hour)
            self._rest()
        self.report.rounds = self._page.metric(ROUNDS)
        self.report.seconds = time.monotonic() - began
        return self.report

    def _load(self, hour: Hour) -> None:
        rounds = self._page.metric(ROUNDS) + hour.rounds
        self._accept(BUSY)
        work = [(self._scrapes, client, hour) for client in CLIENTS]
        work += [(self._domains, hour), (self._reloads, hour), (self._restarts, hour)]
        work += [(self._scans, hour)]
        with ThreadPoolExecutor(len(work)) as pool:
            for function, *arguments in work:
                pool.submit(self._observed, function, *arguments)
        self._observed(self._page.wait_for, ROUNDS, lambda value: value >= rounds)

    def _observed(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            function(*arguments)
        except Exception as error:  # noqa: BLE001
            self.report.failures.append(f"{function.__name__}: {error!r}")

    def _scrapes(self, client: Client, hour: Hour) -> None:
        scraping = ScrapingClient(client, self._host.address)
        for _ in range(hour.slow_scrapes if client.slow else hour.scrapes):
            try:
                scraping.scrape()
            except Exception as error:  # noqa: BLE001
                self.report.failures.append(f"a scrape of {client}: {error!r}")
                scraping.close()
            self.report.count("scrapes")
        scraping.close()

    def _domains(self, hour: Hour) -> None:
        for first in range(0, hour.domains, DOMAINS):
            domids = [self._host.create_domain() for _ in range(min(DOMAINS, hour.domains - first))]
            # The agent has seen them all: no domain is so short-lived that it is missed.
            self._page.wait_for_name(NAME.format(domids[-1]))
            for domid in domids:
                self._host.destroy_domain(domid)
                self.report.count("domains")

    def _reloads(self, hour: Hour) -> None:
        for _ in range(hour.reloads):
            self._reject(self._rejected[0])
            self._accept(f"{BUSY}{self._accepted[0]}")
            self._rejected.rotate(-1)
            self._accepted.rotate(-1)

    def _reject(self, text: str) -> None:
        self._host.reload(text)
        self._page.wait_for("xengt_config_last_reload_successful", lambda value: value == 0)
        self.report.count("reloads")

    def _accept(self, settings: str) -> None:
        name = "xengt_config_last_reload_success_timestamp_seconds"
        before = self._page.metric(name)
        self._host.reload(f"{self._host.listen}{settings}")
        self._page.wait_for(name, lambda value: value > before)
        self.report.count("reloads")

    def _restarts(self, hour: Hour) -> None:
        for _ in range(hour.restarts):
            self._host.restart_xenstored()
            self.report.count("restarts")
            self._page.wait_for("xengt_xenstore_up", lambda value: value == 1)

    def _scans(self, hour: Hour) -> None:
        for _ in range(hour.scans):
            scan(self._host.address)
            self.report.count("scans")

    def _rest(self) -> None:
        """Wait until the agent has done all that is due, and record its state."""
        self._accept(RESTING)
        self._page.wait_for("xengt_probe_latency_seconds_count", lambda value: value > 0)
        pid = self._host.pid()
        if pid not in self.report.pids:
            self.report.pids.append(pid)
        self.report.states.append(_settled(pid))
        if not self._page.is_ready():
            self.report.failures.append("the agent is not ready")


def _settled(pid: int) -> process_state.ProcessState:
    """Return the state of a process once it has no longer opened files or started threads."""
    state = process_state.read(pid)
    since, end = time.monotonic(), time.monotonic() + patient(60)
    while time.monotonic() - since < REST_S and time.monotonic() < end:
        time.sleep(0.2)
        before, state = state, process_state.read(pid)
        if (state.descriptors, state.threads) != (before.descriptors, before.threads):
            since = time.monotonic()
    return state
