"""What gcov says of the functions of one source file: which lines ran, and which branches."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Line:
    """A line with code; what it has of branches, and how many of these were taken."""

    number: int
    text: str
    ran: bool
    branches: int
    taken: int


def functions(counts: Path, source: str) -> dict[str, list[Line]]:
    """Return the lines of each function.

    Args:
        counts: what a program compiled with `--coverage` has left, one object's.
        source: the name of a file that the object was made of, without its directory.
    """
    words = ["gcov", "--json-format", "--stdout", "--branch-probabilities", counts]
    done = subprocess.run(words, capture_output=True, check=True, cwd=counts.parent)
    found: dict[str, dict[int, Line]] = {}
    for file in json.loads(done.stdout)["files"]:
        path = Path(file["file"])
        if path.name != source:
            continue
        texts = [text.strip() for text in path.read_text().splitlines()]
        for line in file["lines"]:
            number, taken = line["line_number"], [b["count"] > 0 for b in line["branches"]]
            found.setdefault(line.get("function_name", ""), {})[number] = Line(
                number, texts[number - 1], line["count"] > 0, len(taken), sum(taken)
            )
    return {name: [lines[n] for n in sorted(lines)] for name, lines in found.items()}


def report(found: dict[str, list[Line]]) -> str:
    """Lines and branches by function, and below each what was not reached."""
    rows = [f"{'lines':>15} {'branches':>15}  function"]
    every = [line for lines in found.values() for line in lines]
    for name, lines in [*found.items(), ("all of these", every)]:
        ran, taken = sum(line.ran for line in lines), sum(line.taken for line in lines)
        branches = sum(line.branches for line in lines)
        rows.append(f"{share(ran, len(lines)):>15} {share(taken, branches):>15}  {name}")
        if lines is not every:
            rows += [f"{line.number:>15}: {line.text}" for line in lines if not line.ran]
    return "\n".join(rows)


def share(part: int, whole: int) -> str:
    return f"{part}/{whole} {part / whole:.0%}" if whole else "-"
