"""Line and branch coverage of the functions of one source file, from gcov."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Line:
    """Coverage of a line of code.

    Attributes:
        number: from 1.
        text: without indentation.
        ran: whether the line was executed.
        branches: number of branches.
        taken: number of branches that were taken.
    """

    number: int
    text: str
    ran: bool
    branches: int
    taken: int


def functions(counts: Path, source: str) -> dict[str, list[Line]]:
    """Return the lines of each function.

    Args:
        counts: .gcda file that a program compiled with `--coverage` has written for an object.
        source: name of a source file of the object, without its directory.
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
    """Return a table of line and branch coverage by function, with the lines not reached."""
    rows = [f"{'lines':>15} {'branches':>15}  function"]
    every = [line for lines in found.values() for line in lines]
    for name, lines in [*found.items(), ("total", every)]:
        ran, taken = sum(line.ran for line in lines), sum(line.taken for line in lines)
        branches = sum(line.branches for line in lines)
        rows.append(f"{share(ran, len(lines)):>15} {share(taken, branches):>15}  {name}")
        if lines is not every:
            rows += [f"{line.number:>15}: {line.text}" for line in lines if not line.ran]
    return "\n".join(rows)


def share(part: int, whole: int) -> str:
    return f"{part}/{whole} {part / whole:.0%}" if whole else "-"
