"""The instruction clock: 1 ns of guest time is 1 instruction, so results are reproducible."""

import pytest

from tests.lab import bare_programs
from tests.lab.lab_dom0 import leftovers

PLAN = ("--granter", "guest", "--batch", "1,32", "--samples", "2000")
BATCHES = (1, 32)
#: Instructions per operation on stock Xen 4.20.3 at batch 32, measured by an independent program
#: with 256 references of a PV guest: refused map, refused unmap (of a free handle inside the
#: table), map, unmap. At batch 1 Linux dominates, and depends on its configuration.
KNOWN = (224, 214, 758, 745)


def latencies(document: dict) -> dict[int, tuple[float, float, float, float]]:
    """Return by batch: overhead of map, overhead of unmap, p50 of map, p50 of unmap, in ns."""
    maps = {r["batch"]: r for r in document["results"] if r["operation"] == "map"}
    unmaps = {r["batch"]: r for r in document["results"] if r["operation"] == "unmap"}
    return {
        batch: (
            maps[batch]["floor_ns"],
            unmaps[batch]["floor_ns"],
            maps[batch]["latency_ns"]["p50"],
            unmaps[batch]["latency_ns"]["p50"],
        )
        for batch in maps
    }


@pytest.fixture(scope="module")
def runs(exact):
    """Results of two runs of one plan."""
    made = [latencies(exact.bench(*PLAN)) for _ in range(2)]
    for batch, row in made[0].items():
        print(f"batch {batch}: {row}, again {made[1][batch]}")
    assert leftovers(exact) == ""
    return made


def test_results_repeat(runs):
    first, second = runs
    for batch in BATCHES:
        assert second[batch] == pytest.approx(first[batch], rel=0.005)


@pytest.fixture(scope="module")
def bare_loop(exact, tmp_path_factory):
    """A dom0 with the program bare_loop."""
    bare_programs.install(exact, "bare_loop", "-lxencall", tmp_path_factory.mktemp("bare_loop"))
    return exact


def bare_medians(dom0, batch: int, unused_handle: int) -> tuple[float, ...]:
    """Return the medians of bare_loop; Xen must refuse to unmap `unused_handle`."""
    granted = dom0.check_output("python3", "/root/dom0/print_published_references.py")
    options = (str(batch), "2000", hex(unused_handle))
    return bare_programs.medians(dom0, "bare_loop", granted, *options)


@pytest.mark.parametrize("batch", BATCHES)
def test_the_loop_adds_less_than_two_percent(bare_loop, runs, batch):
    plain = bare_medians(bare_loop, batch, 0xFFFFFFFF)
    print(f"batch {batch}: xengt {runs[0][batch]}, bare_loop {plain}")
    for ours, bares in zip(runs[0][batch], plain, strict=True):
        assert ours <= 1.02 * bares


def test_results_agree_with_an_independent_measurement(bare_loop, runs):
    # The measurement overhead that xengt reports is the unmap of an impossible handle, which Xen
    # refuses a few instructions earlier than the free handle in KNOWN. So bare_loop unmaps that.
    _, of_a_free_handle, _, _ = bare_medians(bare_loop, 32, 250)
    map_floor, _, maps, unmaps = runs[0][32]
    found = (map_floor, of_a_free_handle, maps, unmaps)
    print(f"found {found}, known {KNOWN}")
    assert found == pytest.approx(KNOWN, rel=0.05)
