"""A mapper destroyed with mappings live: nothing of it stays, in anybody's grant table."""

import pytest
from mapper.put import everywhere, script
from reach import left_behind

BAD_HANDLE = -4
#: kind of mapper, mappings (two a reference), granters
HELD = (
    ("plain", 10, 1),
    ("plain", 2_000, 4),
    ("plain", 130_000, 1),
    ("plain", 200_000, 64),
    ("pv", 400, 2),
    ("pvh", 10_000, 8),
)
BUSY = (("plain-loop", 16, 1), ("pv-loop", 16, 1), ("pvh-loop", 16, 1))


def nothing_left(told: dict) -> None:
    assert told["marks_left"] == 0
    assert told["pins_left"] == ""
    assert told["pages_lost"] == 0
    assert told["usage_left"] is None


def nothing_inherited(told: dict) -> None:
    assert told["same_domid"]
    assert set(told["inherited"]) == {0}
    assert told["refusal"] == BAD_HANDLE
    for name, value in (told["usage_inherited"] or {}).items():
        assert value == 0 or "frames" in name, name


@everywhere
@pytest.mark.parametrize("order", ["mapper-first", "granters-first"])
def test_destroyed_holding_mappings(labs, variant, order):
    cases = [f"{kind}:{mappings}:{granters}:{order}" for kind, mappings, granters in HELD]
    results = script(labs, variant, "destroying.py", *cases)
    for case, told in zip(cases, results, strict=True):
        print(f"{variant} {case}: {1000 * told['seconds']:.1f} ms")
    for (_, mappings, granters), told in zip(HELD, results, strict=True):
        made = mappings // 2 // granters * granters * 2
        assert told["held"] == made
        assert told["marked"] == made // 2
        if variant != "stock":  # or this would test nothing new
            assert told["usage"]["fast-live"] == made
        nothing_left(told)
        nothing_inherited(told)
    assert left_behind(labs.get(variant)) == ""


@everywhere
def test_destroyed_in_the_middle_of_mapping(labs, variant):
    cases = [f"{kind}:{mappings}:{granters}:mapper-first" for kind, mappings, granters in BUSY]
    for told in script(labs, variant, "destroying.py", *cases):
        nothing_left(told)
        nothing_inherited(told)
    assert left_behind(labs.get(variant)) == ""
