"""The agent as a systemd unit in dom0."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.lab.lab_dom0 import Dom0
from tests.patience import patient

UNIT = "xengt.service"
#: of the shipped configuration
PORT = 9805
CONFIG = "/etc/xengt/serve.toml"
#: a configuration with almost no pause between rounds
BUSY = "[probe]\ninterval_s = 0.1\ncpu_budget = 1.0\n"
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> bool:
    end = time.monotonic() + patient(seconds)
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.5)
    return met


@dataclass
class Service:
    """The unit of the installed package.

    Attributes:
        began: dom0's time when the object was made, in seconds since the epoch; earlier journal
            entries are ignored.
    """

    dom0: Dom0
    began: str = field(init=False)

    def __post_init__(self):
        self.began = self.dom0.check_output("date +%s.%N").strip()

    def configure(self, text: str) -> None:
        done = self.dom0.run(f"cat > {CONFIG}", stdin=text)
        assert done.returncode == 0, done.stderr

    def control(self, verb: str) -> int:
        return self.dom0.run("systemctl", verb, UNIT).returncode

    def start(self, text: str = BUSY) -> None:
        """Start the unit with a configuration, and wait until it is active."""
        self.configure(text)
        assert self.control("start") == 0, self.messages()
        assert self.properties("ActiveState")["ActiveState"] == "active"

    def properties(self, *names: str) -> dict[str, str]:
        """Return properties of the unit, by name."""
        words = ("systemctl", "show", UNIT, f"--property={','.join(names)}")
        lines = self.dom0.check_output(*words).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def stop(self) -> float:
        """Stop the unit; returns the seconds from SIGTERM to its end, by systemd's journal."""
        assert self.control("stop") == 0
        words = ("journalctl", f"--since=@{self.began}", "--output=json", "_PID=1", f"UNIT={UNIT}")
        records = [json.loads(line) for line in self.dom0.check_output(*words).splitlines()]
        when = {
            word: int(each["__MONOTONIC_TIMESTAMP"])
            for each in records
            for word in ("Stopping", "Deactivated successfully")
            if word in each["MESSAGE"]
        }
        return (when["Deactivated successfully"] - when["Stopping"]) / 1e6

    def scrape(self) -> dict[tuple[str, str], float]:
        """Return the samples of a scrape by name and labels; empty if the agent does not answer."""
        text = self.dom0.run(f"busybox wget -q -T 60 -O - http://127.0.0.1:{PORT}/metrics").stdout
        return {(name, labels): float(value) for name, labels, value in _SAMPLE.findall(text)}

    def rounds(self) -> float:
        return self.scrape().get(("xengt_probe_rounds_total", ""), 0)

    def journal(self) -> list[dict[str, str]]:
        """Return the journal entries of the unit itself, with their fields."""
        words = ("journalctl", "--unit", UNIT, f"--since=@{self.began}", "--output=json")
        records = [json.loads(line) for line in self.dom0.check_output(*words).splitlines()]
        return [each for each in records if each.get("_SYSTEMD_UNIT") == UNIT]

    def messages(self) -> list[str]:
        return [each["MESSAGE"] for each in self.journal()]
