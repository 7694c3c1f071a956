"""A mapper destroyed with mappings live: nothing of it stays, in anybody's grant table."""

from tests.lab.labs import Labs
from tests.lab.mapper.put import everywhere, script
from tests.lab.reach import left_behind

BAD_HANDLE = -4
#: kind of mapper, mappings (two a reference), granters, and who is destroyed first
HELD = (
    ("plain", 10, 1, "mapper-first"),
    ("plain", 2_000, 4, "granters-first"),
    ("plain", 130_000, 1, "mapper-first"),
    ("plain", 200_000, 64, "mapper-first"),
    ("plain", 200_000, 64, "granters-first"),
    ("pv", 400, 2, "mapper-first"),
    ("pvh", 10_000, 8, "granters-first"),
)
BUSY = tuple((kind, 16, 1, "mapper-first") for kind in ("plain-loop", "pv-loop", "pvh-loop"))


def destroyed(labs: Labs, variant: str, cases) -> list[dict]:
    """Have it done; what destroying.py tells of each case."""
    words = [":".join(map(str, case)) for case in cases]
    told = script(labs, variant, "destroying.py", *words)
    assert len(told) == len(cases)
    for word, one in zip(words, told, strict=True):
        print(f"{variant} {word}: {1000 * one['seconds']:.1f} ms")
    return told


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
def test_destroyed_holding_mappings(labs, variant):
    results = destroyed(labs, variant, HELD)
    for (_, mappings, granters, _), told in zip(HELD, results, strict=True):
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
    for told in destroyed(labs, variant, BUSY):
        nothing_left(told)
        nothing_inherited(told)
    assert left_behind(labs.get(variant)) == ""
