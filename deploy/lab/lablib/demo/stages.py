"""The stages of labs that start side by side: a line for each, and on a terminal what is left.

`lab` prints a line when a step begins and one when it ends (lablib/work.py). They are read here
from a process's standard error, and everything it prints goes to its log.
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

BEGINS = re.compile(r"lab: (.*)…$")
ENDS = re.compile(r"lab: (.*): ([\d.]+) s$")
USUAL = 30.0
"""Seconds that a step is expected to take the first time."""
REFRESH = 0.5


@dataclass
class Stages:
    """What is going on now, and how long it takes.

    Attributes:
        memory: the file with the seconds that each run and each of its steps took the last time.
    """

    memory: Path
    terminal: bool = field(default_factory=sys.stderr.isatty)
    running: dict[tuple[str, str], float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _begun: float = field(default_factory=time.monotonic)
    _shown: bool = False

    def __post_init__(self) -> None:
        """Read how long things took the last time."""
        try:
            self.took: dict[str, float] = json.loads(self.memory.read_text())
        except (OSError, ValueError):
            self.took = {}

    @property
    def elapsed(self) -> float:
        """Return the seconds since the beginning."""
        return time.monotonic() - self._begun

    def begin(self, side: str, step: str) -> None:
        """Note that a step begins.

        Args:
            side: the process that takes it; "" is the only one.
            step: what it is.
        """
        with self._lock:
            self.running[side, step] = time.monotonic()

    def end(self, side: str, step: str) -> None:
        """Print a step that has ended, with the seconds that it took."""
        with self._lock:
            begun = self.running.pop((side, step), time.monotonic())
            seconds = self.took[step] = time.monotonic() - begun
            self._clear()
            prefix = f"{side}: " if side else ""
            print(f"{prefix + step:<74} {seconds:6.1f} s", file=sys.stderr, flush=True)

    def refresh(self) -> None:
        """Show on a terminal what is running, and how long all of it may still take."""
        if not self.terminal:
            return
        with self._lock:
            now = time.monotonic()
            whole = self.took.get("", 0.0)
            left = max(
                [
                    self.took.get(step, USUAL) - (now - begun)
                    for (_, step), begun in self.running.items()
                ],
                default=0.0,
            )
            left = max(left, whole - self.elapsed, 1.0)
            names = ", ".join(f"{side}: {step}" if side else step for side, step in self.running)
            self._clear()
            line = f"{self.elapsed:.0f} s, about {left:.0f} s left: {names}"
            print(f"\r{line[:100]}", end="", file=sys.stderr, flush=True)
            self._shown = True

    def close(self, *, whole: bool) -> None:
        """Remove the line about what is running, and remember how long things took.

        Args:
            whole: everything was done, so that the time of all of it is worth remembering.
        """
        with self._lock:
            self._clear()
            if whole:
                self.took[""] = self.elapsed
            self.memory.parent.mkdir(parents=True, exist_ok=True)
            self.memory.write_text(json.dumps(self.took))

    def _clear(self) -> None:
        if self._shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
            self._shown = False


class Process:
    """A `lab` command whose steps are shown and whose output goes to a log.

    Args:
        command: the command.
        side: what its stages are called.
        stages: where they are shown.
        log: takes everything that it prints.
        marks: lines that the command in dom0 prints, and what to do then.
    """

    def __init__(
        self,
        command: Sequence[str],
        side: str,
        stages: Stages,
        log: Path,
        marks: Mapping[str, Callable[[], object]] | None = None,
    ) -> None:
        """Start it."""
        self.log = log
        self._side, self._stages, self._marks = side, stages, marks or {}
        self._out = log.open("a")
        self._child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command],  # a killed demo leaves no lab
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
            if found := ENDS.match(line):
                self._stages.end(self._side, found[1])
            elif found := BEGINS.match(line):
                self._stages.begin(self._side, found[1])
            elif line in self._marks:
                self._marks[line]()

    def give(self, file: Path) -> None:
        """Write a file to its standard input, and close that."""
        if self._child.stdin:
            self._child.stdin.write(file.read_text())
            self._child.stdin.close()

    def ended(self) -> bool:
        """Tell whether it has ended.

        Raises:
            LabError: it failed.
        """
        status = self._child.poll()
        if status is None:
            return False
        self._reader.join()
        if status:
            what = f"{self._side}: " if self._side else ""
            remedy = f"the whole log is {self.log}"
            raise LabError(
                f"{what}the lab failed with exit code {status}", remedy, self.log, status
            )
        return True

    def kill(self) -> None:
        """End it, with the lab that it has started."""
        if self._child.poll() is None:
            self._child.terminate()
            self._child.wait()
        self._reader.join()
        self._out.close()
