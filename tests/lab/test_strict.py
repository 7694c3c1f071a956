"""An IOMMU in strict mode: what a bus address for each mapping is held to, in instructions."""

from dataclasses import dataclass

import pytest

from tests.lab import figures
from tests.lab.figures import Pair
from tests.lab.iotlb import invalidations
from tests.lab.reach import Dom0, left_behind

STOCK, OURS = "strict-stock", "strict"
#: stock → ours, of a granter that Linux runs in; it takes a kernel of dom0 built for it
GUESTS = {"strict-stock-guest": "strict-guest"}
BATCHES = ("--batch", "1,32", "--samples", "2000")
#: what a pair may cost of what it costs on stock, net of the floor, by batch
BOUNDS = {1: 0.70, 32: 0.50}
#: mappings that are there besides
HELD = (0, 1_000, 100_000)
#: how much a pair may cost more or less for them
FLAT = 0.03
#: how much may be different where no bus address is asked for
UNCHANGED = 0.01
#: calls that are timed, for the difference of two runs to be theirs
FEW, MORE = 100, 1100


@dataclass(frozen=True)
class Seen:
    """What one hypervisor was measured to need.

    Attributes:
        pairs: by batch and by mappings held.
        flushes: invalidations of IOTLBs for 32 mappings and their unmapping, in one call each.
    """

    pairs: dict[tuple[int, int], Pair]
    flushes: float


def flushes(lab: Dom0) -> float:
    """Count what a pair of calls with 32 references each has the IOMMU's IOTLB forget."""
    counted = []
    for samples in (FEW, MORE):
        with invalidations(lab) as seen:
            lab.bench("--batch", "32", "--samples", str(samples))
        counted.append(len(seen))
    return (counted[1] - counted[0]) / (MORE - FEW)


@pytest.fixture(scope="session")
def measured(labs):
    """What each hypervisor needs, measured when it is first asked for."""
    done: dict[str, Seen] = {}

    def get(variant: str) -> Seen:
        if variant not in done:
            lab = labs.get(variant)
            granter = "guest" if "guest" in variant else "empty"
            hold = ",".join(str(held) for held in HELD[: None if variant == OURS else 1])
            plan = (*BATCHES, "--granter", granter, "--hold", hold)
            pairs = figures.pairs(lab, *plan, by=("batch", "hold"))
            done[variant] = Seen(pairs, flushes(lab))
            assert left_behind(lab) == ""
        return done[variant]

    return get


@pytest.mark.parametrize("variant", [STOCK, *GUESTS])
@pytest.mark.parametrize("batch", BOUNDS)
def test_a_pair(measured, variant, batch):
    our = GUESTS.get(variant, OURS)
    ours, stock = (measured(each).pairs[batch, 0] for each in (our, variant))
    ratio = ours.both / stock.both
    print(f"{our}, batch {batch}: {ours}, {variant} {stock}: {ratio:.3f}")
    assert ratio <= BOUNDS[batch]


@pytest.mark.parametrize("variant", [OURS])
@pytest.mark.parametrize("batch", BOUNDS)
def test_a_pair_costs_the_same_whatever_else_is_mapped(measured, variant, batch):
    both = [measured(variant).pairs[batch, held].both for held in HELD]
    print(f"strict, batch {batch}, a pair with {HELD} mappings held: {both}")
    assert max(both) <= (1 + FLAT) * min(both)


@pytest.mark.parametrize(("variant", "expected"), [(OURS, 1), (STOCK, 32)])
def test_flushes_of_a_batch(measured, variant, expected):
    """Of 32 references mapped and unmapped, each by one call."""
    # What begins and ends a run may have one more or less.
    assert measured(variant).flushes == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(("variant", "expected"), [(OURS, True), (STOCK, False)])
def test_it_is_told_which_it_was(labs, variant, expected):
    lab = labs.get(variant)
    host = lab.bench("--samples", "1")["host"]
    assert (host["iommu"], host["bus_addresses"]) == ("strict", expected)
    assert ("address of its own" in lab.succeeds("xengt", "check")) == expected


@pytest.mark.parametrize("variant", ["without-bus-exact"])
def test_without_an_iommu_nothing_is_different(labs, variant):
    """The same hypervisor without the patches that are about bus addresses."""
    plan = ("--granter", "guest", "--mappings", "1,3", *BATCHES)
    ours, without = (
        figures.pairs(labs.get(each), *plan, by=("batch", "mappings"))
        for each in ("patched-exact", variant)
    )
    for case, pair in without.items():
        ratio = ours[case].both / pair.both
        print(f"batch and mapping {case}: {pair}, with all patches {ours[case]}: {ratio:.4f}")
    assert all(ours[case].both <= (1 + UNCHANGED) * pair.both for case, pair in without.items())
