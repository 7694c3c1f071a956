"""Prepared sources with something in them changed: faults, and marks for a sanitizer."""

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


class NotThereError(Exception):
    """What is to be replaced is not in the source as often as it should be."""


@dataclass(frozen=True)
class Change:
    """A replacement of text in one of Xen's files.

    Attributes:
        old: what is there, exactly `times`.
        new: what is there instead.
        file: as `userspace.prepared` names it.
        function: the only place where `old` counts; the whole file when nothing is said.
        times: how often it is there; each is replaced.
    """

    old: str
    new: str
    file: str = "grant_table.c"
    function: str = ""
    times: int = 1

    def applied(self, text: str) -> str:
        """Return the file with the change.

        Raises:
            NotThereError: the series, or Xen, has become another.
        """
        begin, end = _body(text, self.function) if self.function else (0, len(text))
        there = text[begin:end].count(self.old)
        if there != self.times:
            raise NotThereError(f"{self.file}: {there} times, not {self.times}: {self.old}")
        return text[:begin] + text[begin:end].replace(self.old, self.new) + text[end:]


def _body(text: str, function: str) -> tuple[int, int]:
    head = rf"^(?:[a-z][^\n;()]*\s)?{function}\([^;{{]*?\)\n{{\n"
    (found,) = re.finditer(head, text, re.MULTILINE)
    return found.start(), text.index("\n}\n", found.end())


def changed(sources: Path, into: Path, changes: Iterable[Change]) -> Path:
    """Return a directory like that of `userspace.prepared`, with changes made in their order.

    Args:
        sources: from there.
        into: where it is made.
        changes: each on what those before it have left.
    """
    shutil.copytree(sources / "xen", into / "xen")
    (into / "public").symlink_to(sources / "public")
    for change in changes:
        file = into / "xen" / change.file
        file.write_text(change.applied(file.read_text()))
    return into
