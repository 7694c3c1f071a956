"""What must come of a sequence in which every address is right, on any hypervisor.

Every operation succeeds; the page is seen where it is mapped, as writable as it was asked for, and
nowhere else; the entry is marked as read while any part of a mapping lives, and as written while
one that may write does.
"""

from collections.abc import Sequence

from mapper.dom0.sequences import Map, Stage, is_host

READING, WRITING = 8, 16
SLOTS = "01=?"


def expected(stages: Sequence[Stage]) -> list[str]:
    """What flags.py prints of a sequence, by stage."""
    made: list[Map] = []
    live: set[tuple[int, str]] = set()
    said = []
    for stage in stages:
        if isinstance(stage, Map):
            live |= {(len(made), part) for part in parts(stage)}
            made.append(stage)
        else:
            for part, address in (("host", stage.host), ("device", stage.device)):
                if address == "own":
                    live.discard((stage.index, part))
        said.append(f"0 {seen(made, live)} {marks(made, live)}")
    return said


def parts(made: Map) -> list[str]:
    return ["host"] * is_host(made.flags) + ["device"] * ("d" in made.flags)


def seen(made: list[Map], live: set[tuple[int, str]]) -> str:
    at = {made[index].slot: made[index].flags for index, part in live if part == "host"}
    return "".join("-" if slot not in at else "r" if "r" in at[slot] else "w" for slot in SLOTS)


def marks(made: list[Map], live: set[tuple[int, str]]) -> int:
    writable = any("r" not in made[index].flags for index, _ in live)
    return (READING if live else 0) | (WRITING if writable else 0)
