"""Unmaps with wrong handles: free, foreign, stale, and guessed while others map."""

import re

import pytest

from tests.lab.divergences import SCRIPT, unexpected_differences
from tests.lab.dom0_programs import classes, comparable
from tests.lab.xen_constants import BAD_HANDLE, OKAY

pytestmark = pytest.mark.long

ON_EVERY_HYPERVISOR = pytest.mark.parametrize(
    "variant", ["stock", "switched-off", "patched", "patched-debug"]
)
KINDS = ("random", "foreign", "near")
ADDRESSES = ("random", "own")
#: domids that no domain has: DOMID_SELF, and the largest number
RESERVED_DOMIDS = ("32752", "32767")


def active_entries(lab) -> set[str]:
    """Return the active entries of all domains, with their mapper, from Xen's debug key g."""
    output = lab.check_output("xl dmesg -c > /dev/null; xl debug-keys g; sleep 1; xl dmesg")
    assert "gnttab_usage_print_all ] done" in output
    entries, domain = set(), ""
    for line in output.splitlines():
        if title := re.search(r"grant-table for remote (d\d+)", line):
            domain = title[1]
        elif entry := re.search(r"\[(0x[0-9a-f]+)\] +(\d+) (0x[0-9a-f]+) (0x[0-9a-f]+)", line):
            entries.add(f"{domain} {' '.join(entry.groups())}")
    return entries


def domids(lab) -> list[str]:
    return re.findall(r"^\S+ +(\d+) ", lab.check_output("xl", "list"), re.MULTILINE)


@ON_EVERY_HYPERVISOR
@pytest.mark.parametrize("kind", KINDS)
def test_a_million_wrong_handles_unmap_nothing(labs, programs, variant, kind):
    lab = labs.get(variant)
    # Otherwise blkback unmaps persistent grants that it has not used for a minute.
    lab.check_output("echo 0 > /sys/module/xen_blkback/parameters/persistent_grant_unused_seconds")
    before = active_entries(lab)
    # The backends of the guest's disk and console have mapped pages of the guest in dom0.
    assert any(entry.startswith("d1 ") for entry in before)
    count = 1_000_000 // (len(KINDS) * len(ADDRESSES)) + 1
    for seed, address in enumerate(ADDRESSES):
        output = programs.run(
            *(lab, "junk", kind, str(count), str(seed), address),
            *(*domids(lab), *RESERVED_DOMIDS),
        )
        statuses = {int(line.split()[0]): int(line.split()[1]) for line in output.splitlines()}
        assert sum(statuses.values()) >= count
        # Xen returns GNTST_okay for a mapping of dom0's drivers that has no device map, and unmaps
        # nothing. The active entries, compared below, show that these mappings remain.
        assert set(statuses) <= {OKAY, BAD_HANDLE}, statuses
        assert statuses[BAD_HANDLE] > 0.9 * count
    assert before <= active_entries(lab)


@ON_EVERY_HYPERVISOR
def test_the_guest_still_reads_its_disk(labs, variant):
    lab = labs.get(variant)
    assert "guest" in lab.check_output("xl", "list")
    lab.check_output("xengt bench --granter guest --samples 100 --json")


@ON_EVERY_HYPERVISOR
@pytest.mark.parametrize(("mappers", "guessers"), [(2, 0), (2, 1), (3, 2)])
def test_each_mapping_is_unmapped_once(labs, programs, variant, mappers, guessers):
    output = programs.run(labs.get(variant), "race", str(mappers), str(guessers), "2000")
    mapped, own, guessed, remaining = (int(number) for number in re.findall(r"\d+", output))
    assert mapped == own + guessed > 2000
    assert remaining == 0
    # Only the handles of fast mappings can be guessed.
    assert (guessed > 0) == (guessers > 0 and variant.startswith("patched"))


@pytest.mark.parametrize("variant", ["patched", "patched-debug"])
def test_only_intended_differences_from_stock(labs, programs, variant):
    stock, other = (
        programs.run(labs.get(which), "script", stdin=SCRIPT) for which in ("stock", variant)
    )
    assert unexpected_differences(comparable(stock), comparable(other)) == []
    assert set(classes(other).values()) == {"fast"}


@pytest.mark.parametrize("variant", ["switched-off"])
def test_no_differences_from_stock_with_fast_entries_off(labs, programs, variant):
    stock, other = (
        comparable(programs.run(labs.get(which), "script", stdin=SCRIPT))
        for which in ("stock", variant)
    )
    assert stock == other
