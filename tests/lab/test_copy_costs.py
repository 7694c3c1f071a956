"""Costs of copying compared with mapping, in instructions: exact labs, stock and patched."""

from itertools import product

import pytest

from tests.lab import bare_programs
from tests.lab.lab_dom0 import leftovers

SIZES = (64, 512, 1500, 4096)
BATCHES = (1, 32)
PLAN = (
    *("--granter", "guest", "--batch", ",".join(map(str, BATCHES)), "--samples", "1000"),
    *("--bytes", ",".join(map(str, SIZES)), "--touch", "none,read,copy"),
)
#: engine that maps → engine that copies in its place
ALTERNATIVES = {"hypercall": "copy", "gntdev": "gntdev-copy"}
both = pytest.mark.parametrize("variant", ["exact", "patched-exact"])


@pytest.fixture(scope="module")
def measured(labs):
    """Returns the instructions per operation in a lab, with the overhead, by what was measured."""
    done: dict[str, dict[tuple, tuple[float, float]]] = {}

    def get(variant: str) -> dict[tuple, tuple[float, float]]:
        if variant not in done:
            lab = labs.get(variant)
            engines = ",".join([*ALTERNATIVES, *ALTERNATIVES.values(), "persistent", "foreign"])
            document = lab.bench("--engine", engines, *PLAN, timeout=900)
            assert leftovers(lab) == ""
            keys = ("engine", "batch", "touch", "bytes", "operation")
            done[variant] = {
                tuple(result[key] for key in keys): (
                    result["latency_ns"]["p50"],
                    result["floor_ns"],
                )
                for result in document["results"]
            }
        return done[variant]

    return get


def net(results: dict[tuple, tuple[float, float]], *setup: object) -> float:
    """Return the instructions of all operations of a setup, without the overhead."""
    return sum(p50 - floor for key, (p50, floor) in results.items() if key[:4] == setup)


@both
def test_copying_costs_more_the_more_is_copied(measured, variant):
    results = measured(variant)
    for engine, batch in product(("copy", "gntdev-copy", "persistent"), BATCHES):
        costs = [net(results, engine, batch, "none", size) / 2 for size in SIZES]
        print(f"{variant}: {engine}, batch {batch}, one copy of {SIZES}: {costs}")
        assert costs == sorted(costs)


@both
def test_copying_compared_with_mapping(measured, variant):
    """A page that is only used by a device, read, or copied, against a copy of its bytes."""
    results = measured(variant)
    for (maps, copies), batch in product(ALTERNATIVES.items(), BATCHES):
        touches = ("none", "read", "copy") if maps == "gntdev" else ("none",)
        for touch, size in product(touches, SIZES):
            mapped_size = size if touch != "none" else SIZES[-1]
            mapping = net(results, maps, batch, touch, mapped_size)
            copying = net(results, copies, batch, "none", size) / 2
            print(
                f"{variant}: batch {batch}, {size} bytes: {maps}, touch {touch}: {mapping:,.0f}; "
                f"{copies}: {copying:,.0f}; ratio {mapping / copying:.2f}"
            )
            assert mapping > 0
            assert copying > 0


@pytest.fixture(scope="module")
def bare_copy(exact, tmp_path_factory) -> str:
    """Install the program bare_copy; return the granter and its references."""
    out = tmp_path_factory.mktemp("bare_copy")
    bare_programs.install(exact, "bare_copy", "-lxencall -lxengnttab", out)
    return exact.check_output("python3", "/root/dom0/print_published_references.py")


@pytest.mark.parametrize(("size", "batch"), [*product(SIZES, BATCHES)])
def test_the_loop_agrees_with_a_bare_program(exact, measured, bare_copy, size, batch):
    options = (str(size), str(batch), "1000")
    bare = bare_programs.medians(exact, "bare_copy", bare_copy, *options)
    results = measured("exact")
    copies = [
        results["copy", batch, "none", size, f"copy {direction} granter"]
        for direction in ("from", "to")
    ]
    ours = (*(floor for _, floor in copies), *(p50 for p50, _ in copies))
    print(f"{size} bytes, batch {batch}: xengt {ours}, bare_copy {bare}")
    assert ours == pytest.approx(bare, rel=0.02)
