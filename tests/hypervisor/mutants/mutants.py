"""Planted faults of the patched hypervisor."""

import dataclasses
import tomllib
from pathlib import Path

from tests.hypervisor.changes import Change

HERE = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Mutant:
    """A fault; slots.toml describes the fields."""

    name: str
    harm: str
    old: str
    new: str
    file: str = "grant_table.c"
    function: str = ""
    by: str = "differential"
    why: str = ""

    @property
    def change(self) -> Change:
        """The change of Xen's source that plants the fault."""
        return Change(self.old, self.new, self.file, self.function)


def load_mutants() -> list[Mutant]:
    """Return the faults of all *.toml files in this directory."""
    found = []
    for file in sorted(HERE.glob("*.toml")):
        found += [
            Mutant(name, **fields) for name, fields in tomllib.loads(file.read_text()).items()
        ]
    return found
