"""The progress of the demo: one line per completed step, and a status line on a terminal.

`lab` prints a line when a step begins and another when it ends (`lablib.output.step`). `LabProcess`
reads these lines from the stderr of a `lab` process and writes all of its output to a log.
"""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from lablib.errors import LabError

STEP_BEGINS = re.compile(r"lab: (.*)…$")
STEP_ENDS = re.compile(r"lab: (.*): ([\d.]+) s$")
DEFAULT_DURATION = 30.0
"""Expected seconds of a step that has never been timed."""
REFRESH = 0.5
"""Seconds between updates of the status line."""


@dataclass
class Stages:
    """The steps that are running and the expected duration of each.

    Attributes:
        durations_file: JSON file with the seconds that each step, and a whole run (key ""), took
            in the previous run.
        terminal: show a status line.
        running: the time.monotonic() at which each (side, step) began.
    """

    durations_file: Path
    terminal: bool = field(default_factory=sys.stderr.isatty)
    running: dict[tuple[str, str], float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _start: float = field(default_factory=time.monotonic)
    _status_line: bool = False

    def __post_init__(self) -> None:
        """Read the durations of the previous run."""
        try:
            self.durations: dict[str, float] = json.loads(self.durations_file.read_text())
        except (OSError, ValueError):
            self.durations = {}

    @property
    def elapsed(self) -> float:
        """Return the seconds since the demo started."""
        return time.monotonic() - self._start

    def begin(self, side: str, step: str) -> None:
        """Record that a step begins.

        Args:
            side: `stock` or `patched`; "" for a step of the demo itself.
            step: the name of the step.
        """
        with self._lock:
            self.running[side, step] = time.monotonic()

    def end(self, side: str, step: str) -> None:
        """Print the line of a step that has ended, with its duration in seconds."""
        with self._lock:
            begun = self.running.pop((side, step), time.monotonic())
            seconds = self.durations[step] = time.monotonic() - begun
            self._clear()
            prefix = f"{side}: " if side else ""
            print(f"{prefix + step:<74} {seconds:6.1f} s", file=sys.stderr, flush=True)

    def refresh(self) -> None:
        """Update the status line: elapsed and estimated seconds, and the running steps."""
        if not self.terminal:
            return
        with self._lock:
            now = time.monotonic()
            total = self.durations.get("", 0.0)
            remaining = max(
                [
                    self.durations.get(step, DEFAULT_DURATION) - (now - begun)
                    for (_, step), begun in self.running.items()
                ],
                default=0.0,
            )
            remaining = max(remaining, total - self.elapsed, 1.0)
            names = ", ".join(f"{side}: {step}" if side else step for side, step in self.running)
            self._clear()
            line = f"{self.elapsed:.0f} s elapsed, about {remaining:.0f} s remaining: {names}"
            print(f"\r{line[:100]}", end="", file=sys.stderr, flush=True)
            self._status_line = True

    def close(self, *, complete: bool) -> None:
        """Remove the status line and store the durations for the next run.

        Args:
            complete: the demo succeeded; only then is its total duration stored.
        """
        with self._lock:
            self._clear()
            if complete:
                self.durations[""] = self.elapsed
            self.durations_file.parent.mkdir(parents=True, exist_ok=True)
            self.durations_file.write_text(json.dumps(self.durations))

    def _clear(self) -> None:
        if self._status_line:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
            self._status_line = False


class LabProcess:
    """A running `lab` command whose steps are reported as stages.

    Args:
        command: the command line.
        side: the name that precedes its stages; "" for none.
        stages: where the stages are reported.
        log: the file for the complete output.
        markers: actions by the line on stderr that triggers them; the line comes from the command
            in dom0.
    """

    def __init__(
        self,
        command: Sequence[str],
        side: str,
        stages: Stages,
        log: Path,
        markers: Mapping[str, Callable[[], object]] | None = None,
    ) -> None:
        """Start the command."""
        self.log = log
        self._side, self._stages, self._markers = side, stages, markers or {}
        self._out = log.open("a")
        self._child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command],  # the lab ends with a killed demo
            stdin=subprocess.PIPE,
            stdout=self._out,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, args=(self._child.stderr,))
        self._reader.start()

    def _read(self, lines: IO[str]) -> None:
        for text in lines:
            line = text.rstrip("\n")
            self._out.write(text)
            self._out.flush()
            if found := STEP_ENDS.match(line):
                self._stages.end(self._side, found[1])
            elif found := STEP_BEGINS.match(line):
                self._stages.begin(self._side, found[1])
            elif line in self._markers:
                self._markers[line]()

    def send(self, file: Path) -> None:
        """Write a file to the command's stdin and close it."""
        if self._child.stdin:
            self._child.stdin.write(file.read_text())
            self._child.stdin.close()

    def has_ended(self) -> bool:
        """Return whether the command has ended.

        Raises:
            LabError: its exit code is not 0; the error has the same exit code.
        """
        status = self._child.poll()
        if status is None:
            return False
        self._reader.join()
        if status:
            prefix = f"{self._side}: " if self._side else ""
            remedy = f"the complete log is {self.log}"
            raise LabError(
                f"{prefix}the lab failed with exit code {status}", remedy, self.log, status
            )
        return True

    def kill(self) -> None:
        """Terminate the command; it removes its lab."""
        if self._child.poll() is None:
            self._child.terminate()
            self._child.wait()
        self._reader.join()
        self._out.close()
