"""Locates the lines that are listed as unreachable in unreached.toml."""

import tomllib
from pathlib import Path

from tests.hypervisor.coverage.gcov import Line

LISTED = tomllib.loads(Path(__file__).with_name("unreached.toml").read_text())["unreached"]


def unreached(source: Path, found: dict[str, list[Line]]) -> dict[int, str]:
    """Return the reasons by line number.

    Args:
        source: the prepared grant_table.c.
        found: coverage by function.

    Raises:
        ValueError: a listed text is not in its function exactly once.
    """
    source_lines = source.read_text().splitlines()
    reasons: dict[int, str] = {}
    for entry in LISTED:
        lines = found[entry["function"]]
        numbered = [
            (number, text)
            for number in range(lines[0].number, lines[-1].number + 1)
            if (text := source_lines[number - 1].strip())
        ]
        context = entry.get("after", "").splitlines()
        expected = context + [text for text in entry["text"].splitlines() if text]
        positions = [
            at
            for at in range(len(numbered))
            if [text for _, text in numbered[at : at + len(expected)]] == expected
        ]
        if len(positions) != 1:
            raise ValueError(
                f"{entry['function']} contains {len(positions)} times, not once: {entry['text']}"
            )
        numbers = [number for number, _ in numbered[positions[0] :][: len(expected)]]
        reasons |= dict.fromkeys(numbers[len(context) :], entry["why"])
    return reasons
