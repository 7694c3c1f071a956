"""The C programs of semantics/: compiled against Debian 13's libraries and run in dom0."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from lablib import places
from lablib.artifacts import roots
from lablib.cache import Cache

from tests.lab.lab_dom0 import Dom0

DIRECTORY = Path(__file__).parent / "semantics"
COMMON = ("xen", "granter")
#: program → its source files besides COMMON
SOURCES_OF = {
    "script": ("slots", "pins", "mappings", "script"),
    "junk": ("junk",),
    "race": ("race",),
}
FLAGS = "-D_GNU_SOURCE -std=gnu11 -O2 -pthread -Wall -Wextra -Werror"
LIBRARIES = "-lxencall -lxenctrl -lxenforeignmemory"


@dataclass
class Programs:
    """Compiles the programs on first use, and copies them into each lab once.

    Args:
        out: directory for the compiled programs.
    """

    out: Path
    installed: list[Dom0] = field(default_factory=list)

    def compile(self) -> None:
        log = self.out / "log"
        with roots.Workbench(roots.build_root(Cache(places.cache_root())), "semantics") as bench:
            bench.bring(DIRECTORY, log)
            for program, parts in SOURCES_OF.items():
                files = " ".join(f"{part}.c" for part in (*COMMON, *parts))
                bench.do(f"cc {FLAGS} {files} -o {program} {LIBRARIES}", log)
            bench.take([*SOURCES_OF], self.out)
        for program in SOURCES_OF:
            (self.out / program).chmod(0o755)

    def run(
        self, lab: Dom0, program: str, *words: str, stdin: str = "", timeout: float = 300
    ) -> str:
        """Run a program in dom0, which must exit with 0; returns its standard output."""
        if not (self.out / "script").exists():
            self.compile()
        # Compare identities: a lab that was booted again has the same name and no programs.
        if not any(lab is known for known in self.installed):
            lab.put(*(self.out / known for known in SOURCES_OF))
            self.installed.append(lab)
        done = lab.run(f"/root/{program}", *words, stdin=stdin or "\n", timeout=timeout)
        assert done.returncode == 0, f"{program}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def comparable(transcript: str) -> list[str]:
    """Return the lines without the part that may differ between hypervisors: after the `#`."""
    return [re.sub(r" #.*", "", line) for line in transcript.splitlines()]


def classes(transcript: str) -> dict[str, str]:
    """Return mapping → `fast` or `slow`, as its handle shows."""
    return dict(re.findall(r"^map (\S+) .* # (fast|slow)", transcript, re.MULTILINE))
