"""`xengt plan`: the frames that Linux's drivers need, and the limits."""

import json
import re

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.unit import schemas
from xengt.cli import app
from xengt.plan import GuestDevices, plan_frames
from xengt.plan.devices import parts, slots
from xengt.xen import kernel, limits
from xengt.xen.limits import Limit

SCHEMA = schemas.load("plan")
GUESTS = st.builds(
    GuestDevices,
    vifs=st.integers(0, 40),
    vbds=st.integers(0, 40),
    queues=st.integers(1, 16),
    ring_pages=st.sampled_from([1, 2, 4, 8, 16]),
    segments=st.integers(0, 256),
    user_space=st.booleans(),
)


@pytest.fixture(autouse=True)
def given_limits(monkeypatch):
    """The limits of a Xen with given limits."""
    given = {
        limits.MAX_FRAMES: Limit(64, "by hand"),
        limits.MAX_MAPTRACK_FRAMES: Limit(5, "later"),
        f"dom0 {limits.MAX_MAPTRACK_FRAMES}": Limit(9, "too"),
    }
    monkeypatch.setattr(limits, "limit", lambda option: given[option])
    monkeypatch.setattr(limits, "dom0_limit", lambda option: given[f"dom0 {option}"])
    monkeypatch.setattr(kernel, "online_vcpus", lambda: 2)
    monkeypatch.setattr(kernel, "dom0_kind", lambda: "PV")
    return given


def needs(**devices):
    return {part.what: part for part in parts(GuestDevices(**devices), user_mappings=2)}


@pytest.mark.parametrize(("pages", "count"), [(1, 32), (2, 64), (4, 128), (8, 256), (16, 512)])
def test_the_slots_of_a_disk_ring_are_those_of_blkif(pages, count):
    assert slots(pages, 112) == count


def test_a_vif_needs_the_references_that_netfront_allocates():
    """One reference for each slot of both rings, 256 each; netback maps one of them."""
    assert (needs(vifs=1)["vifs"].references, needs(vifs=1)["vifs"].mappings) == (514, 258)
    assert needs(vifs=3, queues=4)["vifs"].references == 12 * 514


def test_a_vbd_needs_the_mappings_that_blkback_keeps():
    """Linux's default of max_persistent_grants is 1056: all of one ring's requests."""
    disk = needs(vbds=1)["vbds"]
    assert (disk.references, disk.mappings) == (1 + 1056, 1 + 1056)
    assert needs(vbds=1, segments=0)["vbds"].references == 1 + 32 * 11
    assert needs(vbds=1, ring_pages=4)["vbds"].references == 4 + 128 * 33
    assert needs(vbds=1, user_space=True)["vbds"].mappings == 2 * 1057


def test_reserved_references_are_mapped_by_daemons():
    none = needs(vifs=0, vbds=0)
    assert (none["reserved"].references, none["reserved"].mappings) == (8, 4)
    assert none["vifs"].references == none["vbds"].mappings == 0


def test_frames_are_rounded_up_and_include_a_handle_per_vcpu():
    found = plan_frames(GuestDevices(), 2, dom0_vcpus=3, pv_dom0=True)
    assert found.references == 8 + 514 + 1057
    assert found.mappings == 4 + 258 + 1057
    v1, v2, stock, fast = (table.frames for table in found.tables)
    assert (v1, v2) == (4, 7)  # 1579 by 512, by 256
    assert stock == 11  # 2 * 1319 + 3 by 256
    assert fast == 1  # 2 * 4 + 3: what is reserved is always slow


@pytest.mark.parametrize(("vcpus", "frames"), [(217, 6), (218, 7)])
def test_the_unused_handle_of_each_vcpu_counts(vcpus, frames):
    found = plan_frames(GuestDevices(), 1, dom0_vcpus=vcpus, pv_dom0=True)
    assert found.tables[2].frames == frames  # 1319 and as many by 256


def test_a_dom0_that_is_not_pv_needs_fewer_mappings():
    found = plan_frames(GuestDevices(user_space=True), 1, dom0_vcpus=1, pv_dom0=False)
    assert found.mappings == 2 + 258 + 1057


def test_references_beyond_the_fast_handle_need_slow_entries():
    found = plan_frames(GuestDevices(vifs=200), 1, dom0_vcpus=1, pv_dom0=True)
    beyond = 8 + 200 * 514 + 1057 - 65536
    assert found.tables[-1].frames == -(-(4 + min(2 * beyond, 200 * 258 + 1057) + 1) // 256)


@given(GUESTS, st.integers(1, 100), st.integers(1, 64))
def test_the_document_of_any_plan_follows_the_schema(guest, domains, vcpus):
    found = plan_frames(guest, domains, dom0_vcpus=vcpus, pv_dom0=True)
    jsonschema.validate(found.to_json(), SCHEMA)
    more = plan_frames(guest, domains + 1, dom0_vcpus=vcpus, pv_dom0=True)
    for less, table in zip(found.tables, more.tables, strict=True):
        assert less.frames <= table.frames
    *_, stock, fast = found.tables
    assert fast.frames <= stock.frames


def test_the_schema_describes_every_key():
    assert list(schemas.undescribed(SCHEMA)) == []


def run(*options):
    return CliRunner().invoke(app, ["plan", *options])


def test_a_plan_within_the_limits_is_reported():
    done = run()
    assert (done.exit_code, done.stderr) == (0, "")
    assert re.search(r"^total +1,579 +1,319$", done.stdout, re.MULTILINE)
    assert re.search(r"^dom0, maptrack of stock Xen +6 +9 ", done.stdout, re.MULTILINE)
    said = "limits: gnttab_max_frames (by hand), gnttab_max_maptrack_frames (too)\n"
    assert said in done.stdout
    assert done.stdout.endswith("the limits are sufficient for 1 domain on stock Xen with grant tables of version 1, the version that Linux uses\n")  # fmt: skip  # noqa: E501


def test_a_plan_beyond_a_limit_names_the_option_to_raise():
    done = run("--domains", "2")
    assert done.exit_code == 1
    *_, short, last = done.stdout.splitlines()
    assert short == (
        "dom0, maptrack of stock Xen: the limit is 2 frames too low: "
        "raise gnttab_max_maptrack_frames"
    )
    assert last.startswith("the limits are not sufficient for 2 domains on stock Xen")


def test_json_output_follows_the_schema():
    done = run("--json", "--domains", "2", "--vbds", "2", "--dom0-vcpus", "1")
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    jsonschema.validate(document, SCHEMA)
    assert document["guest"]["vbds"] == 2
    assert [table["fits"] for table in document["tables"]] == [True, True, False, True]
    assert document["fits"] is False


@pytest.mark.parametrize("options", [("--ring-pages", "3"), ("--vifs", "-1"), ("--queues", "0")])
def test_option_values_that_no_driver_has_are_rejected(options):
    assert run(*options).exit_code == 2
