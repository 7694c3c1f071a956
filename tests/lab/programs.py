"""The C programs of these tests: compiled against Debian 13's libraries, and run in dom0."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from lablib import places
from lablib.artifacts import roots
from lablib.cache import Cache

from tests.lab.reach import Dom0

SOURCES = Path(__file__).parent / "semantics"
COMMON = ("xen", "granter")
#: program → what it is made of besides that
MADE_OF = {
    "script": ("slots", "pins", "mappings", "script"),
    "junk": ("junk",),
    "race": ("race",),
}
FLAGS = "-D_GNU_SOURCE -std=gnu11 -O2 -pthread -Wall -Wextra -Werror"
LIBRARIES = "-lxencall -lxenctrl -lxenforeignmemory"


@dataclass
class Programs:
    """They are compiled when the first of them is used, and copied into each lab once.

    Args:
        out: a directory of the caller's to keep them in.
    """

    out: Path
    there: list[Dom0] = field(default_factory=list)

    def compile(self) -> None:
        log = self.out / "log"
        with roots.Workbench(roots.build_root(Cache(places.cache_root())), "semantics") as bench:
            bench.bring(SOURCES, log)
            for program, parts in MADE_OF.items():
                files = " ".join(f"{part}.c" for part in (*COMMON, *parts))
                bench.do(f"cc {FLAGS} {files} -o {program} {LIBRARIES}", log)
            bench.take([*MADE_OF], self.out)
        for program in MADE_OF:
            (self.out / program).chmod(0o755)

    def run(
        self, lab: Dom0, program: str, *words: str, given: str = "", timeout: float = 300
    ) -> str:
        """Run one in dom0; what it printed. It must end well."""
        if not (self.out / "script").exists():
            self.compile()
        # A lab that was booted again has its old name, and nothing of what was in it.
        if not any(lab is known for known in self.there):
            lab.put(*(self.out / known for known in MADE_OF))
            self.there.append(lab)
        done = lab.run(f"/root/{program}", *words, given=given or "\n", timeout=timeout)
        assert done.returncode == 0, f"{program}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def comparable(transcript: str) -> list[str]:
    """The lines without what two hypervisors may differ in: handles, and what they tell."""
    return [re.sub(r" #.*", "", line) for line in transcript.splitlines()]


def classes(transcript: str) -> dict[str, str]:
    """Mapping → `fast` or `slow`, by its handle."""
    return dict(re.findall(r"^map (\S+) .* # (fast|slow)", transcript, re.MULTILINE))
