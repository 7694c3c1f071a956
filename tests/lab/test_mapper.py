"""Mappings made by a guest at chosen addresses, in all combinations of flags."""

import functools

import pytest

from tests.lab.lab_dom0 import leftovers
from tests.lab.lab_pool import LabPool
from tests.lab.mapper.dom0.sequences import FAMILIES, Stage, name
from tests.lab.mapper.expected_results import (
    expected_outcomes,
    marks_cover_mappings,
    may_differ_from_stock,
)
from tests.lab.mapper.mapper_scripts import on_every_hypervisor, run_mapper_script
from tests.lab.xen_constants import BAD_HANDLE, HANDLES_PER_FRAME, NO_SPACE

pytestmark = pytest.mark.long

#: kind of guest, family of correct sequences (see sequences.py), one or many operations a hypercall
CORRECT = (
    ("pv", "orders", "batched"),
    ("pv", "parts", "single"),
    ("pv", "again", "single"),
    ("pvh", "orders", "batched"),
    ("pvh", "again", "single"),
)
#: kind of guest, family of sequences with wrong addresses or repeated unmaps
INCORRECT = (("pv", "wrong"), ("pvh", "wrong"), ("pv", "replaced"))


@pytest.fixture(scope="module")
def transcript(labs: LabPool):
    """Returns the outcomes of each stage, by sequence; see mapper/dom0/run_sequences.py."""

    @functools.cache
    def run(variant: str, *words: str) -> dict[str, list[str]]:
        lines = run_mapper_script(labs, variant, "run_sequences.py", *words)
        assert leftovers(labs.get(variant)) == ""
        return dict(lines)

    return run


@on_every_hypervisor
@pytest.mark.parametrize(("kind", "family", "together"), CORRECT)
def test_every_combination_in_every_order(transcript, variant, kind, family, together):
    found = transcript(variant, kind, family, together)
    required = {name(stages): expected_outcomes(stages) for stages in FAMILIES[family](kind)}
    assert found.keys() == required.keys()
    assert {
        which: outcomes for which, outcomes in found.items() if outcomes != required[which]
    } == {}


def sequences(kind: str, family: str) -> dict[str, tuple[Stage, ...]]:
    return {name(stages): stages for stages in FAMILIES[family](kind)}


@on_every_hypervisor
@pytest.mark.parametrize(("kind", "family"), INCORRECT)
def test_a_mapped_page_is_never_marked_as_free(transcript, variant, kind, family):
    found = transcript(variant, kind, family, "single")
    assert found.keys() == sequences(kind, family).keys()
    unsound = {
        which: outcomes for which, outcomes in found.items() if not marks_cover_mappings(outcomes)
    }
    if (variant, kind, family) == ("stock", "pvh", "wrong"):
        # When stock Xen removes a PVH guest's mapping, it checks the frame but not whether the
        # mapping is writable. A writable mapping then remains of a reference marked as read-only.
        assert unsound != {}
    else:
        assert unsound == {}


@pytest.mark.parametrize("variant", ["patched", "patched-debug"])
@pytest.mark.parametrize(("kind", "family"), INCORRECT)
def test_incorrect_sequences_behave_as_on_stock(transcript, variant, kind, family):
    stock = transcript("stock", kind, family, "single")
    found = transcript(variant, kind, family, "single")
    same = [
        which
        for which, stages in sequences(kind, family).items()
        if not may_differ_from_stock(stages)
    ]
    assert {which: (stock[which], found[which]) for which in same} == {
        which: (stock[which], stock[which]) for which in same
    }
    # Sequences that may differ must finally have everything unmapped.
    for which in found.keys() - {*same}:
        assert found[which] == stock[which] or found[which][-1].endswith(" ---- 0"), which


@on_every_hypervisor
@pytest.mark.parametrize("kind", ["pv", "pvh"])
def test_a_mapper_with_a_second_vcpu_maps_the_right_pages(labs: LabPool, variant, kind):
    """Each flush interrupts the CPU of the second vCPU; the script checks pages and statuses."""
    (rates,) = run_mapper_script(labs, variant, "pair_rate.py", kind, "2", "32", "50", "2")
    print(f"{variant}, {kind}: {rates} pairs per second")
    assert len(rates) == 2
    assert leftovers(labs.get(variant)) == ""


@on_every_hypervisor
def test_a_handle_of_another_mapper_is_refused(labs, variant):
    (report,) = run_mapper_script(labs, variant, "foreign_handles.py")
    assert set(report["mapped"]) == {0}
    assert set(report["stolen"]) == {BAD_HANDLE}
    assert report["marks"] == len(report["mapped"]) // 2
    if variant != "stock":  # on stock, the handles of every mapper start at 0
        assert report["known_by_their_numbers"]
        assert set(report["stolen_again"]) == {BAD_HANDLE}
    assert report["marks_again"] == len(report["mapped"])
    assert set(report["returned"]) == {0}
    assert set(report["stale"]) == {BAD_HANDLE}
    assert set(report["stale_again"]) == {BAD_HANDLE}
    assert report["marks_at_last"] == len(report["mapped"])
    assert set(report["given_back"]) == {0}
    assert report["marks_left"] == 0


@on_every_hypervisor
def test_a_mapper_without_maptrack_frames_maps_nothing(labs, variant):
    for report in run_mapper_script(
        labs, variant, "maptrack_limits.py", "plain:0", "pv:0", "pvh:0"
    ):
        assert (report["slow"], report["slow_status"]) == (0, NO_SPACE)
        assert (report["fast"], report["fast_status"]) == (0, NO_SPACE)


@on_every_hypervisor
def test_a_full_maptrack_ends_slow_mappings_only(labs, variant):
    for report in run_mapper_script(labs, variant, "maptrack_limits.py", "plain:1", "pvh:1"):
        assert report["slow_status"] == NO_SPACE
        assert HANDLES_PER_FRAME - 2 <= report["slow"] <= HANDLES_PER_FRAME
        if variant == "stock":
            assert (report["fast"], report["fast_status"]) == (0, NO_SPACE)
        else:
            assert report["fast"] == report["requested"]
