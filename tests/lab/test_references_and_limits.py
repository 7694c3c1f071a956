"""Large references, a full maptrack, and the counters of mappings in hypfs."""

import re

import pytest

from tests.lab.dom0_programs import comparable
from tests.lab.fast_admission import admission_errors
from tests.lab.random_grant_scripts import random_script
from tests.lab.xen_constants import HANDLES_PER_FRAME, NO_SPACE, OKAY

OTHERS = ("switched-off", "patched", "patched-debug")
ON_EVERY_HYPERVISOR = pytest.mark.parametrize("variant", ["stock", *OTHERS])
#: grant frames of 512 references each, for more than the 65,536 that a fast handle can name
FRAMES = 130
LARGE = (65535, 65536, 65537, 66559)
#: references and how often each is mapped (the maximum of a pin counter), to fill a maptrack
OFTEN, TIMES = range(8, 8 + 200), 127


def large_references_script() -> str:
    """Return a script with two mappings of each reference around the boundary, and a third."""
    lines = [f"granter g {FRAMES} {len(LARGE)}", "slot 0 0", "slot 1 1"]
    for page, gref in enumerate(LARGE):
        lines.append(f"grant g {gref} {page} rw")
        lines += [f"map {name}{gref} g {gref} d -" for name in "ab"]
    lines += ["pins", "map h g 65535 h 0", "map k g 65536 h 1", "seen 0", "seen 1", "pins"]
    lines += ["unmap h own -", "unmap k own -"]
    lines += [f"unmap {name}{gref} - own" for gref in LARGE for name in "ba"]
    lines += [f"map c{LARGE[0]} g {LARGE[0]} d -", f"unmap c{LARGE[0]} - own"]
    # References beyond the table are refused.
    lines += [f"map n g {FRAMES * 512} d -", "map n g 0xffffffff d -", f"map n g {1 << 31} d -"]
    return "\n".join([*lines, "pins", "destroy g", "state g 5", ""])


@ON_EVERY_HYPERVISOR
def test_large_references_are_slow(labs, programs, variant):
    text = large_references_script()
    transcript = programs.run(labs.get(variant), "script", stdin=text)
    if variant != "stock":
        stock = programs.run(labs.get("stock"), "script", stdin=text)
        assert comparable(transcript) == comparable(stock)
    if variant.startswith("patched"):
        assert list(admission_errors(text, transcript)) == []
        assert re.search(r"^map a65535 .* # fast ", transcript, re.MULTILINE)
        assert re.search(r"^map a65536 .* # slow ", transcript, re.MULTILINE)
    assert transcript.endswith("state g 5 = gone\n")


def filling_script() -> str:
    lines = ["granter g 1 1", *(f"grant g {gref} 0 rw" for gref in [*OFTEN, 400])]
    lines += [f"repeat m{gref} g {gref} {TIMES} d" for gref in OFTEN]
    lines += ["map one g 400 d -", "map two g 400 d -", "map three g 400 d -"]
    lines += [f"end m{OFTEN[0]}", "map four g 400 d -", f"repeat m{OFTEN[0]} g {OFTEN[0]} 3 d"]
    lines += [f"end {name}" for name in ("one", "two", "three", "four")]
    lines += [f"end m{gref}" for gref in OFTEN]
    # The maptrack can be filled again.
    lines += [f"repeat again g {gref} {TIMES} d" for gref in OFTEN[:4]]
    return "\n".join([*lines, "end again", "destroy g", "state g 5", ""])


@ON_EVERY_HYPERVISOR
def test_a_full_maptrack_ends_slow_mappings_only(labs, programs, variant):
    lab = labs.get(variant)
    limit = HANDLES_PER_FRAME * int(
        lab.check_output("xenhypfs", "cat", "/params/gnttab_max_maptrack_frames")
    )
    assert len(OFTEN) * TIMES > limit
    transcript = programs.run(lab, "script", stdin=filling_script())
    rows = re.findall(
        r"^repeat m\d+ .* = (-?\d+) .* # okay (\d+) fast (\d+)", transcript, re.MULTILINE
    )
    first, last = rows[0], rows[len(OFTEN) - 1]
    fast = 2 if variant.startswith("patched") else 0
    assert first == ("0", str(TIMES), str(fast))
    # In a full maptrack slow mappings fail; fast ones need no maptrack entry and succeed.
    assert last == (str(NO_SPACE), str(fast), str(fast))
    slow = sum(int(okay) - int(fast) for _, okay, fast in rows[: len(OFTEN)])
    assert 0.9 * limit < slow <= limit
    made = dict(re.findall(r"^map (\S+) .* = (-?\d+)", transcript, re.MULTILINE))
    freshly = str(OKAY if fast else NO_SPACE)
    assert made == {"one": freshly, "two": freshly, "three": str(NO_SPACE), "four": str(OKAY)}
    assert rows[-1] == ("0", "3", str(fast))
    assert re.findall(r"^end \S+ = (\d+)", transcript, re.MULTILINE) == ["0"] * transcript.count(
        "\nend "
    )
    again = re.findall(r"^repeat again .* = (-?\d+) .* # okay (\d+)", transcript, re.MULTILINE)
    assert again == [("0", str(TIMES))] * 4
    assert transcript.endswith("state g 5 = gone\n")


#: blkback unmaps persistent grants of the guest's disk a minute after their last use: during one
#: attempt or a few, and not during each
ATTEMPTS = 10


def counters(lab) -> dict[str, int]:
    """Return dom0's counters in hypfs: live mappings and all mappings made."""
    names = ("fast-live", "slow-live", "fast-maps", "slow-maps")
    output = lab.check_output("; ".join(f"xenhypfs cat /gnttab/0/{name}" for name in names))
    return dict(zip(names, map(int, output.split()), strict=True))


@pytest.mark.parametrize("variant", OTHERS)
def test_counters_count_fast_and_slow_mappings(labs, programs, variant):
    lab = labs.get(variant)
    for _ in range(ATTEMPTS):
        before = counters(lab)
        transcript = programs.run(lab, "script", stdin=random_script(99, 800))
        after = counters(lab)
        # Refused operations are not counted.
        expected = dict(before)
        for kind in ("fast", "slow"):
            expected[f"{kind}-maps"] += len(
                re.findall(rf"^map .* # {kind} ", transcript, re.MULTILINE)
            )
        if after == expected:
            break
    assert after == expected
    assert (after["fast-maps"] > before["fast-maps"]) == (variant != "switched-off")


def test_stock_has_no_counters(dom0):
    assert dom0.run("xenhypfs", "cat", "/gnttab/0/fast-live").returncode != 0
