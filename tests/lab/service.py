"""The agent as systemd runs it in dom0."""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.lab.reach import Dom0
from tests.patience import patient

UNIT = "xengt.service"
CONFIG = "/etc/xengt/serve.toml"
#: probing nearly always, as rounds are not waited for
BUSY = "[probe]\ninterval_s = 0.1\ncpu_budget = 1.0\n"
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


def waits_until(condition: Callable[[], bool], seconds: float = 120) -> bool:
    end = time.monotonic() + patient(seconds)
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.5)
    return met


@dataclass
class Service:
    """The unit of the package that is installed.

    Attributes:
        began: when the journal that matters begins, in seconds since the epoch, by dom0's clock.
    """

    dom0: Dom0
    began: str = field(init=False)

    def __post_init__(self):
        self.began = self.dom0.succeeds("date +%s.%N").strip()

    def configure(self, text: str) -> None:
        done = self.dom0.run(f"cat > {CONFIG}", given=text)
        assert done.returncode == 0, done.stderr

    def control(self, verb: str) -> int:
        return self.dom0.run("systemctl", verb, UNIT).returncode

    def starts(self, text: str = BUSY) -> None:
        """Have it start with a configuration, and wait for that."""
        self.configure(text)
        assert self.control("start") == 0, self.messages()
        assert self.shows("ActiveState")["ActiveState"] == "active"

    def shows(self, *names: str) -> dict[str, str]:
        """Properties of the unit."""
        words = ("systemctl", "show", UNIT, f"--property={','.join(names)}")
        lines = self.dom0.succeeds(*words).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def stops(self) -> float:
        """Stop it; seconds from SIGTERM until nothing of it ran, by what systemd says and when."""
        assert self.control("stop") == 0
        words = ("journalctl", f"--since=@{self.began}", "--output=json", "_PID=1", f"UNIT={UNIT}")
        records = [json.loads(line) for line in self.dom0.succeeds(*words).splitlines()]
        when = {
            word: int(each["__MONOTONIC_TIMESTAMP"])
            for each in records
            for word in ("Stopping", "Deactivated successfully")
            if word in each["MESSAGE"]
        }
        return (when["Deactivated successfully"] - when["Stopping"]) / 1e6

    def scraped(self) -> dict[tuple[str, str], float]:
        """What a scrape shows, by name and labels; nothing while nobody answers."""
        text = self.dom0.run("busybox wget -q -T 60 -O - http://127.0.0.1:9805/metrics").stdout
        return {(name, labels): float(value) for name, labels, value in _SAMPLE.findall(text)}

    def rounds(self) -> float:
        return self.scraped().get(("xengt_probe_rounds_total", ""), 0)

    def journal(self) -> list[dict[str, str]]:
        """Its own records, with their fields."""
        words = ("journalctl", "--unit", UNIT, f"--since=@{self.began}", "--output=json")
        records = [json.loads(line) for line in self.dom0.succeeds(*words).splitlines()]
        return [each for each in records if each.get("_SYSTEMD_UNIT") == UNIT]

    def messages(self) -> list[str]:
        return [each["MESSAGE"] for each in self.journal()]
