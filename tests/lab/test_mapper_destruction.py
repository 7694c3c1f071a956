"""A mapper is destroyed while it has live mappings: no mapping, pin or page leaks."""

from tests.lab.lab_dom0 import leftovers
from tests.lab.lab_pool import LabPool
from tests.lab.mapper.mapper_scripts import on_every_hypervisor, run_mapper_script
from tests.lab.xen_constants import BAD_HANDLE

#: kind of mapper, mappings (two per reference), granters, and which side is destroyed first
HELD = (
    ("plain", 10, 1, "mapper-first"),
    ("plain", 2_000, 4, "granters-first"),
    ("plain", 130_000, 1, "mapper-first"),
    ("plain", 200_000, 64, "mapper-first"),
    ("plain", 200_000, 64, "granters-first"),
    ("pv", 400, 2, "mapper-first"),
    ("pvh", 10_000, 8, "granters-first"),
)
BUSY = tuple((kind, 16, 1, "mapper-first") for kind in ("plain-loop", "pv-loop", "pvh-loop"))


def destroy_mappers(labs: LabPool, variant: str, cases) -> list[dict]:
    """Run destroy_mappers.py; returns its report on each case."""
    words = [":".join(map(str, case)) for case in cases]
    reports = run_mapper_script(labs, variant, "destroy_mappers.py", *words)
    assert len(reports) == len(cases)
    for word, report in zip(words, reports, strict=True):
        print(f"{variant} {word}: {1000 * report['seconds']:.1f} ms")
    return reports


def assert_nothing_left(report: dict) -> None:
    assert report["marks_left"] == 0
    assert report["pins_left"] == ""
    assert report["pages_lost"] == 0
    assert report["usage_left"] is None


def assert_nothing_inherited(report: dict) -> None:
    assert report["same_domid"]
    assert set(report["inherited"]) == {0}
    assert report["refusal"] == BAD_HANDLE
    for name, value in (report["usage_inherited"] or {}).items():
        assert value == 0 or "frames" in name, name


@on_every_hypervisor
def test_destroying_a_mapper_with_mappings(labs, variant):
    results = destroy_mappers(labs, variant, HELD)
    for (_, mappings, granters, _), report in zip(HELD, results, strict=True):
        made = mappings // 2 // granters * granters * 2
        assert report["held"] == made
        assert report["marked"] == made // 2
        if variant != "stock":  # all of these mappings use fast entries
            assert report["usage"]["fast-live"] == made
        assert_nothing_left(report)
        assert_nothing_inherited(report)
    assert leftovers(labs.get(variant)) == ""


@on_every_hypervisor
def test_destroying_a_mapper_during_maps_and_unmaps(labs, variant):
    for report in destroy_mappers(labs, variant, BUSY):
        assert_nothing_left(report)
        assert_nothing_inherited(report)
    assert leftovers(labs.get(variant)) == ""
