"""The series is held to figures: stock and patched from one source, in instructions."""

from dataclasses import dataclass

import pytest

from tests.lab import figures
from tests.lab.figures import GRANTERS, HELD, TRACED, Held, Pair
from tests.lab.reach import Dom0, left_behind

PATCHED = "patched-exact"
SWITCHED_OFF = "switched-off-exact"
patched_only = pytest.mark.parametrize("variant", [PATCHED])
both = pytest.mark.parametrize("variant", [PATCHED, SWITCHED_OFF])

PLAN = (
    *("--engine", "hypercall", "--granter", "guest", "--batch", "1,32"),
    *("--mappings", "1,3", "--samples", "2000"),
)
#: what a pair may cost of what it costs on stock, net of the floor
FAST = 0.80
#: what is still stock's way may cost this much more
SLOW = 1.03
#: bytes
PAGE = 4096
#: pages: which domains a mapper ever mapped of is a bitmap, whatever the number of mappings
GRANTERS_KNOWN = 1


@dataclass(frozen=True)
class Seen:
    """What one hypervisor was measured to need.

    Attributes:
        pairs: by batch and mappings of a reference.
        held: by granters; 0 is a mapper that holds nothing.
        stretches: by granters, see `figures.stretches`.
        entry: bytes of a grant entry's record in the granter.
    """

    pairs: dict[tuple[int, int], Pair]
    held: dict[int, Held]
    stretches: dict[int, list[int]]
    entry: int

    def destroying(self, granters: int) -> float:
        """Instructions that a mapping costs its holder's destruction."""
        idle = self.held[0].end
        return (self.held[granters].end - idle) / self.held[granters].mappings


def measured(lab: Dom0) -> Seen:
    pairs = figures.pairs(lab, *PLAN, by=("batch", "mappings"))
    figures.put_mapper(lab)
    held = {count: figures.held(lab, HELD, count) for count in GRANTERS}
    held[0] = figures.held(lab, 0, 1)
    stretches = {count: figures.stretches(lab, TRACED, count) for count in GRANTERS}
    assert left_behind(lab) == ""
    entry = figures.size_of(figures.syms(lab), "active_grant_entry")
    return Seen(pairs, held, stretches, entry)


@pytest.fixture(scope="module")
def measures(labs):
    """What each hypervisor needs, measured when it is first asked for: stock before the others."""
    done: dict[str, Seen] = {}

    def get(variant: str) -> tuple[Seen, Seen]:
        for each in ("exact", variant):
            if each not in done:
                done[each] = measured(labs.get(each))
        return done["exact"], done[variant]

    return get


def show(variant: str, what: str, ours: float, stocks: float) -> None:
    ratio = f"{ours / stocks:.3f} of stock" if stocks else "stock has none"
    print(f"{variant}: {what}: {ours:,.1f}, stock {stocks:,.1f}: {ratio}")


@patched_only
def test_a_pair_in_a_batch(measures, variant):
    stock, ours = (seen.pairs[32, 1] for seen in measures(variant))
    show(variant, "batch 32, map", ours.map, stock.map)
    show(variant, "batch 32, unmap", ours.unmap, stock.unmap)
    show(variant, "batch 32, map and unmap", ours.both, stock.both)
    assert ours.both <= FAST * stock.both


@patched_only
def test_a_pair_alone(measures, variant):
    stock, ours = (seen.pairs[1, 1] for seen in measures(variant))
    show(variant, "batch 1, map and unmap", ours.both, stock.both)
    assert ours.both < stock.both


@both
@pytest.mark.parametrize("batch", [1, 32])
def test_the_third_mapping_of_a_reference(measures, variant, batch):
    """It has no slot: what it takes is stock's way."""
    stock, ours = (seen.pairs[batch, 3] for seen in measures(variant))
    show(variant, f"batch {batch}, third mapping, map and unmap", ours.both, stock.both)
    assert ours.both <= SLOW * stock.both


@pytest.mark.parametrize("variant", [SWITCHED_OFF])
@pytest.mark.parametrize("batch", [1, 32])
def test_switched_off(measures, variant, batch):
    stock, ours = (seen.pairs[batch, 1] for seen in measures(variant))
    show(variant, f"batch {batch}, map and unmap", ours.both, stock.both)
    assert ours.both <= SLOW * stock.both


@patched_only
def test_a_granters_record_does_not_grow(measures, variant):
    stock, ours = measures(variant)
    show(variant, "bytes of struct active_grant_entry", ours.entry, stock.entry)
    assert ours.entry == stock.entry == 32


@patched_only
@pytest.mark.parametrize("granters", GRANTERS)
def test_memory_for_mappings_held(measures, variant, granters):
    stock, ours = (seen.held[granters] for seen in measures(variant))
    show(
        variant, f"bytes for {HELD} mappings, {granters} granters",
        ours.pages * PAGE, stock.pages * PAGE,
    )  # fmt: skip
    assert ours.mappings == stock.mappings == HELD // 2 // granters * granters * 2
    assert stock.usage is None
    assert stock.pages >= HELD * 16 / PAGE  # or this would not see what it looks for
    assert ours.usage
    assert ours.usage["fast-live"] == ours.mappings
    assert ours.usage["maptrack-frames"] == 0
    assert ours.pages <= GRANTERS_KNOWN


@both
@pytest.mark.parametrize("granters", GRANTERS)
def test_destroying_a_mapper(measures, variant, granters):
    stock, ours = measures(variant)
    what = f"destroying the holder of {HELD} mappings, {granters} granters"
    show(variant, f"{what}, ms", ours.held[granters].end / 1e6, stock.held[granters].end / 1e6)
    show(variant, f"{what}, a mapping", ours.destroying(granters), stock.destroying(granters))
    assert ours.held[granters].end <= SLOW * stock.held[granters].end


@both
@pytest.mark.parametrize("granters", GRANTERS)
def test_preemption_is_looked_for_as_often(measures, variant, granters):
    stock, ours = (seen.stretches[granters] for seen in measures(variant))
    what = f"instructions without a preemption check, {granters} granters"
    show(variant, f"{what}: longest", max(ours), max(stock))
    print(f"{variant}: in {len(ours)} stretches; stock {len(stock)}")
    assert len(stock) > TRACED // 256  # or the checks were not found
    assert max(ours) <= SLOW * max(stock)
