"""The lines that are known not to be reached, found in the source."""

import tomllib
from pathlib import Path

from tests.hypervisor.coverage.gcov import Line

LISTED = tomllib.loads(Path(__file__).with_name("unreached.toml").read_text())["unreached"]


def unreached(source: Path, found: dict[str, list[Line]]) -> dict[int, str]:
    """Return why, by number of the line.

    Raises:
        ValueError: what is listed is not in the source, or more than once.
    """
    every = source.read_text().splitlines()
    reasons: dict[int, str] = {}
    for one in LISTED:
        lines = found[one["function"]]
        numbered = [
            (number, text)
            for number in range(lines[0].number, lines[-1].number + 1)
            if (text := every[number - 1].strip())
        ]
        context = one.get("after", "").splitlines()
        wanted = context + [text for text in one["text"].splitlines() if text]
        places = [
            at
            for at in range(len(numbered))
            if [text for _, text in numbered[at : at + len(wanted)]] == wanted
        ]
        if len(places) != 1:
            raise ValueError(f"{len(places)} times in {one['function']}: {one['text']}")
        numbers = [number for number, _ in numbered[places[0] :][: len(wanted)]]
        reasons |= dict.fromkeys(numbers[len(context) :], one["why"])
    return reasons
