"""Mappings made by a guest, at addresses of its choosing, in all combinations of flags."""

import functools

import pytest

from tests.lab.labs import Labs
from tests.lab.mapper.dom0.sequences import FAMILIES, Stage, name
from tests.lab.mapper.expected import excused, expected, sound
from tests.lab.mapper.put import everywhere, script
from tests.lab.reach import left_behind

pytestmark = pytest.mark.long

BAD_HANDLE, NO_SPACE = -4, -13
HANDLES_A_FRAME = 256
#: whose results are known by first principles, and how the operations go: one a hypercall, or many
RIGHT = (
    ("pv", "orders", "batched"),
    ("pv", "parts", "single"),
    ("pv", "again", "single"),
    ("pvh", "orders", "batched"),
    ("pvh", "again", "single"),
)
#: what a mapper does by mistake: wrong addresses, mappings that are gone
MISTAKEN = (("pv", "wrong"), ("pvh", "wrong"), ("pv", "replaced"))


@pytest.fixture(scope="module")
def transcript(labs: Labs):
    """By sequence, what came of every stage; see mapper/dom0/flags.py."""

    @functools.cache
    def take(variant: str, *words: str) -> dict[str, list[str]]:
        lines = script(labs, variant, "flags.py", *words)
        assert left_behind(labs.get(variant)) == ""
        return dict(lines)

    return take


@everywhere
@pytest.mark.parametrize(("kind", "family", "together"), RIGHT)
def test_every_combination_in_every_order(transcript, variant, kind, family, together):
    found = transcript(variant, kind, family, together)
    wanted = {name(stages): expected(stages) for stages in FAMILIES[family](kind)}
    assert found.keys() == wanted.keys()
    assert {which: said for which, said in found.items() if said != wanted[which]} == {}


def sequences(kind: str, family: str) -> dict[str, tuple[Stage, ...]]:
    return {name(stages): stages for stages in FAMILIES[family](kind)}


@everywhere
@pytest.mark.parametrize(("kind", "family"), MISTAKEN)
def test_nothing_mapped_is_believed_free_whatever_is_asked(transcript, variant, kind, family):
    found = transcript(variant, kind, family, "single")
    assert found.keys() == sequences(kind, family).keys()
    unsound = {which: said for which, said in found.items() if not sound(said)}
    if (variant, kind, family) == ("stock", "pvh", "wrong"):
        # Stock looks at the frame alone when it removes a guest's mapping, not whether it is
        # writable: the other, writable one stays, of a reference marked as only read.
        assert unsound != {}
    else:
        assert unsound == {}


@pytest.mark.parametrize("variant", ["patched", "patched-debug"])
@pytest.mark.parametrize(("kind", "family"), MISTAKEN)
def test_mistakes_come_out_as_on_stock(transcript, variant, kind, family):
    stock = transcript("stock", kind, family, "single")
    found = transcript(variant, kind, family, "single")
    same = [which for which, stages in sequences(kind, family).items() if not excused(stages)]
    assert {which: (stock[which], found[which]) for which in same} == {
        which: (stock[which], stock[which]) for which in same
    }
    # What is excused has all unmapped in the end, whatever was asked in between.
    for which in found.keys() - {*same}:
        assert found[which] == stock[which] or found[which][-1].endswith(" ---- 0"), which


@everywhere
def test_a_handle_of_another_mapper_is_refused(labs, variant):
    (told,) = script(labs, variant, "foreign.py")
    assert set(told["mapped"]) == {0}
    assert set(told["stolen"]) == {BAD_HANDLE}
    assert told["marks"] == len(told["mapped"]) // 2
    if variant != "stock":  # where every mapper counts its handles from 0
        assert told["known_by_their_numbers"]
        assert set(told["stolen_again"]) == {BAD_HANDLE}
    assert told["marks_again"] == len(told["mapped"])
    assert set(told["returned"]) == {0}
    assert set(told["stale"]) == {BAD_HANDLE}
    assert set(told["stale_again"]) == {BAD_HANDLE}
    assert told["marks_at_last"] == len(told["mapped"])
    assert set(told["given_back"]) == {0}
    assert told["marks_left"] == 0


@everywhere
def test_a_mapper_without_maptrack_frames_maps_nothing(labs, variant):
    for told in script(labs, variant, "limits.py", "plain:0", "pv:0", "pvh:0"):
        assert (told["slow"], told["slow_status"]) == (0, NO_SPACE)
        assert (told["fast"], told["fast_status"]) == (0, NO_SPACE)


@everywhere
def test_a_full_maptrack_ends_slow_mappings_only(labs, variant):
    for told in script(labs, variant, "limits.py", "plain:1", "pvh:1"):
        assert told["slow_status"] == NO_SPACE
        assert HANDLES_A_FRAME - 2 <= told["slow"] <= HANDLES_A_FRAME
        if variant == "stock":
            assert (told["fast"], told["fast_status"]) == (0, NO_SPACE)
        else:
            assert told["fast"] == told["wanted"]
