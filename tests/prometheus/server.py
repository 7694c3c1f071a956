"""A real Prometheus on a port of this machine's, for as long as a test wants it."""

import json
import re
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.patience import patient
from tests.prometheus.obtained import SERVER, programs

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = sorted((DEPLOY / "prometheus").glob("*.rules.yml"))
Series = dict[tuple[tuple[str, str], ...], float]


@dataclass(frozen=True)
class Prometheus:
    """One that runs.

    Attributes:
        url: where it listens.
    """

    url: str

    def asked(self, path: str, **parameters: object) -> Any:
        """Return the data of an answer of its API."""
        words = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(
                f"{self.url}/api/v1/{path}?{words}", timeout=patient(60)
            ) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error

    def query(self, query: str, at: float | None = None) -> Series:
        """Return the values of a query, by labels, now or at a time."""
        when = {} if at is None else {"time": at}
        return {
            tuple(sorted(each["metric"].items())): float(each["value"][1])
            for each in self.asked("query", query=query, **when)["result"]
        }

    def firing(self) -> set[str]:
        """Return the alerts that fire, by name."""
        found = self.asked("alerts")["alerts"]
        return {each["labels"]["alertname"] for each in found if each["state"] == "firing"}

    def ready(self) -> bool:
        """Tell whether it has begun."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=patient(10)) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def up(self) -> bool:
        """Tell whether all of its targets answer, and there is one."""
        found = self.query("up")
        return bool(found) and all(found.values())


def waits_until(condition: Callable[[], Any], within: float) -> Any:
    """Return what the condition is once it holds, or when the time is over."""
    end = time.monotonic() + patient(within)
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.2)
    return found


def hurried(text: str, changes: Mapping[str, str]) -> str:
    """Return rules with other times: those of the real file, for a test that cannot wait so long.

    Args:
        text: of the real file.
        changes: regular expressions and what stands for each; every one has to be found.
    """
    for old, new in changes.items():
        text, found = re.subn(old, new, text)
        assert found, f"{old} is in no rule"
    return text


def config(scrape: dict[str, Any], rules: Mapping[str, str], every_s: int) -> str:
    """Return a configuration that evaluates its rules every second.

    Args:
        scrape: its job.
        rules: files by name, with their text, that go beside it.
        every_s: seconds between scrapes, which each of them may take.
    """
    times = {"scrape_interval": f"{every_s}s", "evaluation_interval": "1s"}
    # JSON is YAML.
    return json.dumps({"global": times, "scrape_configs": [scrape], "rule_files": list(rules)})


@contextmanager
def prometheus(
    where: Path, config: str, files: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Prometheus]:
    """Run one.

    Args:
        where: an empty directory for it.
        config: the text of its configuration.
        files: that go beside it, by name.
    """
    for name, text in {**files, "prometheus.yml": config}.items():
        (where / name).write_text(text)
    with socket.create_server(("127.0.0.1", 0)) as free:
        listens = f"127.0.0.1:{free.getsockname()[1]}"
    words = [
        programs() / SERVER,
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        f"--web.listen-address={listens}",
    ]
    log = where / "log"
    with log.open("w") as said, subprocess.Popen(words, cwd=where, stderr=said) as process:
        try:
            found = Prometheus(f"http://{listens}")
            assert waits_until(found.ready, 60), log.read_text()
            yield found
        finally:
            process.terminate()
