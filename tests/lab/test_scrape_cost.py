"""What a scrape of the agent costs dom0: in exact mode, where a nanosecond is an instruction."""

import json

import pytest

from tests.lab.reach import left_behind

MIB = 1 << 20
KIB = 1 << 10


def scraped(dom0, *numbers: int, timeout: float) -> dict:
    words = ("python3", "/root/dom0/scrape_cost.py", *map(str, numbers))
    told = json.loads(dom0.succeeds(*words, timeout=timeout))
    assert left_behind(dom0) == ""
    return told


@pytest.mark.parametrize("variant", ["exact", "patched-exact"])
def test_a_scrape_with_64_domains(labs, variant):
    told = scraped(labs.get(variant), 64, 12, 1, timeout=300)
    # The first ones write lines and connect to XenStore; a round may be taken during another.
    took = sorted(told["took_s"][2:])
    print(f"{variant}: median {1e3 * took[len(took) // 2]:.2f} ms, {told['page']} bytes, {told}")
    assert took[len(took) // 2] < 20e-3
    assert told["page"] < 200 * KIB
    assert told["rss"][-1] < 64 * MIB
    assert told["errors"] == 0


@pytest.mark.long
def test_memory_is_flat_over_10_000_probes_and_scrapes(dom0):
    told = scraped(dom0, 0, 10_000, 5_000, timeout=7200)
    first, last = told["rss"]
    print(f"{first} bytes after a tenth, {last} at the end; {told['rounds']:.0f} rounds")
    assert told["rounds"] >= 5_000  # of two engines
    assert last < 64 * MIB
    assert last - first < MIB
    assert told["errors"] == 0
