"""Expected results of a sequence with correct addresses, on any hypervisor.

Every operation succeeds. The page is visible exactly where it is mapped, and writable as requested.
The grant entry has GTF_reading while any part of a mapping is live, and GTF_writing while a part of
a writable mapping is live.
"""

from collections.abc import Sequence

from tests.lab.mapper.dom0.sequences import Map, Stage, Unmap, is_host

READING, WRITING = 8, 16
SLOTS = "01=?"


def expected_outcomes(stages: Sequence[Stage]) -> list[str]:
    """Return the outcomes that run_sequences.py must print for a sequence, one per stage."""
    made: list[Map] = []
    live: set[tuple[int, str]] = set()
    outcomes = []
    for stage in stages:
        if isinstance(stage, Map):
            live |= {(len(made), part) for part in parts(stage)}
            made.append(stage)
        else:
            for part, address in (("host", stage.host), ("device", stage.device)):
                if address == "own":
                    live.discard((stage.index, part))
        outcomes.append(f"0 {visible(made, live)} {marks(made, live)}")
    return outcomes


def parts(made: Map) -> list[str]:
    return ["host"] * is_host(made.flags) + ["device"] * ("d" in made.flags)


def visible(made: list[Map], live: set[tuple[int, str]]) -> str:
    at = {made[index].slot: made[index].flags for index, part in live if part == "host"}
    return "".join("-" if slot not in at else "r" if "r" in at[slot] else "w" for slot in SLOTS)


def marks(made: list[Map], live: set[tuple[int, str]]) -> int:
    writable = any("r" not in made[index].flags for index, _ in live)
    return (READING if live else 0) | (WRITING if writable else 0)


def marks_cover_mappings(outcomes: Sequence[str]) -> bool:
    """Return whether the entry is marked in every stage in which the page is visible."""
    for stage in outcomes:
        _, view, mark = stage.split()
        needed = (WRITING if "w" in view else 0) | (READING if {*"wr"} & {*view} else 0)
        if int(mark) & needed != needed or {*view} - {*"wr-"}:
            return False
    return True


def may_differ_from_stock(stages: Sequence[Stage]) -> bool:
    """Return whether the patched hypervisor may differ from stock in a sequence (divergences.py).

    It selects one of two mappings with the same handle by the address. So results may differ if an
    address is that of the other mapping or of none, or if a mapping is unmapped twice.
    """
    if sum(isinstance(stage, Map) for stage in stages) < 2:
        return False
    unmaps = [stage for stage in stages if isinstance(stage, Unmap)]
    mistaken = any(stage.host not in {"own", "none"} for stage in unmaps)
    return mistaken or len({stage.index for stage in unmaps}) < len(unmaps)
