"""Small faults, and the patched hypervisor with one of them."""

import dataclasses
import re
import shutil
import tomllib
from pathlib import Path

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

    def applied(self, text: str) -> str:
        """Return the file with the fault.

        Args:
            text: the file without.
        """
        begin, end = (0, len(text)) if not self.function else _body(text, self.function)
        there = text[begin:end].count(self.old)
        assert there == 1, f"{self.name}: there {there} times"
        return text[:begin] + text[begin:end].replace(self.old, self.new) + text[end:]

    def sources(self, patched: Path, into: Path) -> Path:
        """Return a directory like that of `userspace.prepared`, with the fault.

        Args:
            patched: from there.
            into: where it is made.
        """
        shutil.copytree(patched / "xen", into / "xen")
        (into / "public").symlink_to(patched / "public")
        file = into / "xen" / self.file
        file.write_text(self.applied(file.read_text()))
        return into


def _body(text: str, function: str) -> tuple[int, int]:
    head = rf"^(?:[a-z][^\n;()]*\s)?{function}\([^;{{]*?\)\n{{\n"
    (found,) = re.finditer(head, text, re.MULTILINE)
    return found.start(), text.index("\n}\n", found.end())


def mutants() -> list[Mutant]:
    found = []
    for file in sorted(HERE.glob("*.toml")):
        found += [
            Mutant(name, **fields) for name, fields in tomllib.loads(file.read_text()).items()
        ]
    return found
