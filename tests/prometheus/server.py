"""A real Prometheus on a local port, for the duration of a test."""

import json
import re
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.patience import patient
from tests.prometheus.debian_package import SERVER, programs

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = sorted((DEPLOY / "prometheus").glob("*.rules.yml"))
Series = dict[tuple[tuple[str, str], ...], float]


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus.

    Attributes:
        url: base URL of its HTTP API.
    """

    url: str

    def api_get(self, endpoint: str, **parameters: object) -> Any:
        """Return the data of an API response; fail with the error message of a rejected query."""
        arguments = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(
                f"{self.url}/api/v1/{endpoint}?{arguments}", timeout=patient(60)
            ) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error

    def query(self, query: str, at: float | None = None) -> Series:
        """Return the values of an instant query by labels.

        Args:
            query: PromQL.
            at: evaluation time in seconds since the epoch; None is now.
        """
        when = {} if at is None else {"time": at}
        return {
            tuple(sorted(each["metric"].items())): float(each["value"][1])
            for each in self.api_get("query", query=query, **when)["result"]
        }

    def firing(self) -> set[str]:
        """Return the names of the firing alerts."""
        alerts = self.api_get("alerts")["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}

    def ready(self) -> bool:
        """Return whether the server has started."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=patient(10)) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def up(self) -> bool:
        """Return whether it has targets and the last scrape of all of them succeeded."""
        targets = self.query("up")
        return bool(targets) and all(targets.values())


def waits_until(condition: Callable[[], Any], within: float) -> Any:
    """Poll a condition until it is true or the time is over; return its last value.

    Args:
        condition: polled five times per second.
        within: seconds, scaled by patience.py.
    """
    end = time.monotonic() + patient(within)
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.2)
    return found


def shorten_times(text: str, changes: Mapping[str, str]) -> str:
    """Return rules with shorter times, for a test that cannot wait for the real ones.

    Args:
        text: content of a rule file.
        changes: regular expression → replacement; each expression must match.
    """
    for pattern, replacement in changes.items():
        text, count = re.subn(pattern, replacement, text)
        assert count, f"no rule matches {pattern}"
    return text


def config(scrape: dict[str, Any], rules: Mapping[str, str], every_s: int) -> str:
    """Return a configuration that evaluates its rules every second.

    Args:
        scrape: the scrape job.
        rules: names of the rule files, in the directory of the configuration.
        every_s: scrape interval in seconds.
    """
    times = {"scrape_interval": f"{every_s}s", "evaluation_interval": "1s"}
    # JSON is YAML.
    return json.dumps({"global": times, "scrape_configs": [scrape], "rule_files": list(rules)})


@contextmanager
def prometheus(
    where: Path,
    config: str,
    files: Mapping[str, str] = MappingProxyType({}),
    prefix: str = "",
    options: Sequence[str] = (),
) -> Iterator[Prometheus]:
    """Run a Prometheus until the context ends.

    Args:
        where: an empty directory for its files.
        config: content of its configuration file.
        files: name → content of further files in the same directory.
        prefix: path of its URL, as behind a reverse proxy.
        options: further options of the program.
    """
    for name, text in {**files, "prometheus.yml": config}.items():
        (where / name).write_text(text)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        programs() / SERVER,
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        f"--web.listen-address={address}",
        f"--web.external-url=http://{address}{prefix}",
        *options,
    ]
    log = where / "log"
    with log.open("w") as stderr, subprocess.Popen(command, cwd=where, stderr=stderr) as process:
        try:
            server = Prometheus(f"http://{address}{prefix}")
            assert waits_until(server.ready, 60), log.read_text()
            yield server
        finally:
            process.terminate()


@contextmanager
def agents_scraped(
    where: Path,
    targets: Sequence[Mapping[str, Any]],
    changes: Mapping[str, Mapping[str, str]],
    every_s: int,
    prefix: str = "",
    options: Sequence[str] = (),
) -> Iterator[Prometheus]:
    """Run a Prometheus with the job xengt and the rules of deploy/prometheus, sped up.

    Args:
        where: an empty directory for its files.
        targets: the job's `static_configs`.
        changes: rule file → changes, as of `shorten_times`.
        every_s: scrape interval in seconds; rules are evaluated every second.
        prefix: see `prometheus`.
        options: see `prometheus`.
    """
    rules = {
        rule.name: shorten_times(rule.read_text(), changes.get(rule.name, {})) for rule in RULES
    }
    job = {"job_name": "xengt", "static_configs": targets}
    with prometheus(where, config(job, rules, every_s), rules, prefix, options) as server:
        yield server
