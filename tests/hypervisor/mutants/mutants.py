"""Small faults of the patched hypervisor."""

import dataclasses
import tomllib
from pathlib import Path

from tests.hypervisor.changes import Change

HERE = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Mutant:
    """A fault: what the fields mean, slots.toml says."""

    name: str
    harm: str
    old: str
    new: str
    file: str = "grant_table.c"
    function: str = ""
    by: str = "differ"
    why: str = ""

    @property
    def change(self) -> Change:
        """What makes it."""
        return Change(self.old, self.new, self.file, self.function)


def mutants() -> list[Mutant]:
    found = []
    for file in sorted(HERE.glob("*.toml")):
        found += [
            Mutant(name, **fields) for name, fields in tomllib.loads(file.read_text()).items()
        ]
    return found
