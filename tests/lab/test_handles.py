"""Handles that are wrong: of nothing, of others, of what is gone; and guessed ones in a race."""

import re

import pytest

from tests.lab.divergences import SCRIPT, agreed
from tests.lab.programs import classes, comparable

pytestmark = pytest.mark.long

EVERYWHERE = pytest.mark.parametrize(
    "variant", ["stock", "switched-off", "patched", "patched-debug"]
)
OKAY, BAD_HANDLE = 0, -4
KINDS = ("random", "foreign", "near")
ADDRESSES = ("random", "own")
#: a domain that is there and has no grant table of anyone's, and the largest domid there is
NOBODY = ("32752", "32767")


def active(lab) -> set[str]:
    """The active entries of all domains, as Xen's debug key tells them, with the mapper."""
    said = lab.succeeds("xl dmesg -c > /dev/null; xl debug-keys g; sleep 1; xl dmesg")
    assert "gnttab_usage_print_all ] done" in said
    entries, domain = set(), ""
    for line in said.splitlines():
        if title := re.search(r"grant-table for remote (d\d+)", line):
            domain = title[1]
        elif entry := re.search(r"\[(0x[0-9a-f]+)\] +(\d+) (0x[0-9a-f]+) (0x[0-9a-f]+)", line):
            entries.add(f"{domain} {' '.join(entry.groups())}")
    return entries


def domids(lab) -> list[str]:
    return re.findall(r"^\S+ +(\d+) ", lab.succeeds("xl", "list"), re.MULTILINE)


@EVERYWHERE
@pytest.mark.parametrize("kind", KINDS)
def test_a_million_of_them(labs, programs, variant, kind):
    lab = labs.get(variant)
    # Else blkback gives back, at a time of its own, what it has not used for a minute.
    lab.succeeds("echo 0 > /sys/module/xen_blkback/parameters/persistent_grant_unused_seconds")
    before = active(lab)
    # The backends of its disk and console have pages of the guest mapped in dom0's own name.
    assert any(entry.startswith("d1 ") for entry in before)
    count = 1_000_000 // (len(KINDS) * len(ADDRESSES)) + 1
    for seed, address in enumerate(ADDRESSES):
        said = programs.run(
            *(lab, "junk", kind, str(count), str(seed), address),
            *(*domids(lab), *NOBODY),
        )
        seen = {int(line.split()[0]): int(line.split()[1]) for line in said.splitlines()}
        assert sum(seen.values()) >= count
        # Okay is what Xen says of a mapping of the caller's that has no device map to take back:
        # the drivers' own. What they have mapped is compared below.
        assert set(seen) <= {OKAY, BAD_HANDLE}, seen
        assert seen[BAD_HANDLE] > 0.9 * count
    assert before <= active(lab)


@EVERYWHERE
def test_the_guest_still_reads_its_disk(labs, variant):
    lab = labs.get(variant)
    assert "guest" in lab.succeeds("xl", "list")
    lab.succeeds("xengt bench --granter guest --samples 100 --json -")


@EVERYWHERE
@pytest.mark.parametrize(("mappers", "guessers"), [(2, 0), (2, 1), (3, 2)])
def test_each_mapping_is_unmapped_once(labs, programs, variant, mappers, guessers):
    said = programs.run(labs.get(variant), "race", str(mappers), str(guessers), "2000")
    mapped, own, guessed, left = (int(number) for number in re.findall(r"\d+", said))
    assert mapped == own + guessed > 2000
    assert left == 0
    # Guessing is only a race where handles can be guessed.
    assert (guessed > 0) == (guessers > 0 and variant.startswith("patched"))


@pytest.mark.parametrize("variant", ["patched", "patched-debug"])
def test_where_it_is_meant_to_differ_from_stock(labs, programs, variant):
    stock, other = (
        programs.run(labs.get(which), "script", given=SCRIPT) for which in ("stock", variant)
    )
    assert agreed(comparable(stock), comparable(other)) == []
    assert set(classes(other).values()) == {"fast"}


@pytest.mark.parametrize("variant", ["switched-off"])
def test_switched_off_it_differs_in_nothing(labs, programs, variant):
    stock, other = (
        comparable(programs.run(labs.get(which), "script", given=SCRIPT))
        for which in ("stock", variant)
    )
    assert stock == other
