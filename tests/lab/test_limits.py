"""Large references, the maptrack's limit, and the counts of what is mapped."""

import re

import pytest

from tests.lab.admission import differences
from tests.lab.programs import comparable
from tests.lab.random_scripts import at_random

OTHERS = ("switched-off", "patched", "patched-debug")
EVERYWHERE = pytest.mark.parametrize("variant", ["stock", *OTHERS])
OKAY, NO_SPACE = 0, -13
#: frames of 512 references: beyond the 65,536 that a fast handle can name
FRAMES = 130
LARGE = (65535, 65536, 65537, 66559)
#: references mapped as often as a pin counts, to fill a maptrack
OFTEN, TIMES = range(8, 8 + 200), 127


def large_references() -> str:
    """Two mappings of each reference on both sides of the boundary, and a third."""
    lines = [f"granter g {FRAMES} {len(LARGE)}", "slot 0 0", "slot 1 1"]
    for page, gref in enumerate(LARGE):
        lines.append(f"grant g {gref} {page} rw")
        lines += [f"map {name}{gref} g {gref} d -" for name in "ab"]
    lines += ["pins", "map h g 65535 h 0", "map k g 65536 h 1", "seen 0", "seen 1", "pins"]
    lines += ["unmap h own -", "unmap k own -"]
    lines += [f"unmap {name}{gref} - own" for gref in LARGE for name in "ba"]
    lines += [f"map c{LARGE[0]} g {LARGE[0]} d -", f"unmap c{LARGE[0]} - own"]
    # Beyond the table: none.
    lines += [f"map n g {FRAMES * 512} d -", "map n g 0xffffffff d -", f"map n g {1 << 31} d -"]
    return "\n".join([*lines, "pins", "destroy g", "state g 5", ""])


@EVERYWHERE
def test_large_references(labs, programs, variant):
    text = large_references()
    said = programs.run(labs.get(variant), "script", given=text)
    if variant != "stock":
        stock = programs.run(labs.get("stock"), "script", given=text)
        assert comparable(said) == comparable(stock)
    if variant.startswith("patched"):
        assert list(differences(text, said)) == []
        assert re.search(r"^map a65535 .* # fast ", said, re.MULTILINE)
        assert re.search(r"^map a65536 .* # slow ", said, re.MULTILINE)
    assert said.endswith("state g 5 = gone\n")


def filling() -> str:
    lines = ["granter g 1 1", *(f"grant g {gref} 0 rw" for gref in [*OFTEN, 400])]
    lines += [f"repeat m{gref} g {gref} {TIMES} d" for gref in OFTEN]
    lines += ["map one g 400 d -", "map two g 400 d -", "map three g 400 d -"]
    lines += [f"end m{OFTEN[0]}", "map four g 400 d -", f"repeat m{OFTEN[0]} g {OFTEN[0]} 3 d"]
    lines += [f"end {name}" for name in ("one", "two", "three", "four")]
    lines += [f"end m{gref}" for gref in OFTEN]
    # As good as new.
    lines += [f"repeat again g {gref} {TIMES} d" for gref in OFTEN[:4]]
    return "\n".join([*lines, "end again", "destroy g", "state g 5", ""])


@EVERYWHERE
def test_the_maptrack_is_full(labs, programs, variant):
    lab = labs.get(variant)
    limit = 256 * int(lab.succeeds("xenhypfs", "cat", "/params/gnttab_max_maptrack_frames"))
    assert len(OFTEN) * TIMES > limit
    said = programs.run(lab, "script", given=filling())
    rows = re.findall(r"^repeat m\d+ .* = (-?\d+) .* # okay (\d+) fast (\d+)", said, re.MULTILINE)
    first, last = rows[0], rows[len(OFTEN) - 1]
    fast = 2 if variant.startswith("patched") else 0
    assert first == ("0", str(TIMES), str(fast))
    # Full: nothing of the slow ones; the fast ones need no maptrack entry and go on.
    assert last == (str(NO_SPACE), str(fast), str(fast))
    slow = sum(int(okay) - int(fast) for _, okay, fast in rows[: len(OFTEN)])
    assert 0.9 * limit < slow <= limit
    made = dict(re.findall(r"^map (\S+) .* = (-?\d+)", said, re.MULTILINE))
    freshly = str(OKAY if fast else NO_SPACE)
    assert made == {"one": freshly, "two": freshly, "three": str(NO_SPACE), "four": str(OKAY)}
    assert rows[-1] == ("0", "3", str(fast))
    assert re.findall(r"^end \S+ = (\d+)", said, re.MULTILINE) == ["0"] * said.count("\nend ")
    again = re.findall(r"^repeat again .* = (-?\d+) .* # okay (\d+)", said, re.MULTILINE)
    assert again == [("0", str(TIMES))] * 4
    assert said.endswith("state g 5 = gone\n")


def counters(lab) -> dict[str, int]:
    """Mappings of dom0, by hypfs: live and ever."""
    names = ("fast-live", "slow-live", "fast-maps", "slow-maps")
    said = lab.succeeds("; ".join(f"xenhypfs cat /gnttab/0/{name}" for name in names))
    return dict(zip(names, map(int, said.split()), strict=True))


@pytest.mark.parametrize("variant", OTHERS)
def test_counters(labs, programs, variant):
    lab = labs.get(variant)
    before = counters(lab)
    said = programs.run(lab, "script", given=at_random(99, 800))
    after = counters(lab)
    for kind in ("fast", "slow"):
        made = len(re.findall(rf"^map .* # {kind} ", said, re.MULTILINE))
        # Refused operations are none of them; the guest's disk may have been used meanwhile.
        assert after[f"{kind}-live"] == before[f"{kind}-live"]
        assert after[f"{kind}-maps"] == before[f"{kind}-maps"] + made
    assert (after["fast-maps"] > before["fast-maps"]) == (variant != "switched-off")


def test_stock_has_no_such_counters(dom0):
    assert dom0.run("xenhypfs", "cat", "/gnttab/0/fast-live").returncode != 0
