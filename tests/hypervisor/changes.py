"""Changes to prepared sources: planted faults, and annotations for ThreadSanitizer."""

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


class TextNotFoundError(Exception):
    """The text to replace does not occur in the source the expected number of times."""


@dataclass(frozen=True)
class Change:
    """A text replacement in one of Xen's files.

    Attributes:
        old: text to replace, which must occur exactly `times` times.
        new: replacement.
        file: name of the file in `xen/` of the prepared sources.
        function: function in which to replace; the whole file if empty.
        times: number of occurrences, all of which are replaced.
    """

    old: str
    new: str
    file: str = "grant_table.c"
    function: str = ""
    times: int = 1

    def apply(self, text: str) -> str:
        """Return the text of the file with the change.

        Raises:
            TextNotFoundError: the number of occurrences differs, as Xen or the series has changed.
        """
        begin, end = _body(text, self.function) if self.function else (0, len(text))
        count = text[begin:end].count(self.old)
        if count != self.times:
            raise TextNotFoundError(
                f"{self.file} contains {count} times, not {self.times}: {self.old}"
            )
        return text[:begin] + text[begin:end].replace(self.old, self.new) + text[end:]


def _body(text: str, function: str) -> tuple[int, int]:
    head = rf"^(?:[a-z][^\n;()]*\s)?{function}\([^;{{]*?\)\n{{\n"
    (found,) = re.finditer(head, text, re.MULTILINE)
    return found.start(), text.index("\n}\n", found.end())


def apply_changes(sources: Path, into: Path, changes: Iterable[Change]) -> Path:
    """Copy prepared sources and apply changes to them; return the copy.

    Args:
        sources: directory from `userspace.prepare`.
        into: directory to create.
        changes: applied one after the other.

    Raises:
        TextNotFoundError: a change does not apply.
    """
    shutil.copytree(sources / "xen", into / "xen")
    (into / "public").symlink_to(sources / "public")
    for change in changes:
        file = into / "xen" / change.file
        file.write_text(change.apply(file.read_text()))
    return into
