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
from xengt.plan import Framebuffer, GuestDevices, Hosts, Preset, plan_frames
from xengt.plan.devices import parts, slots
from xengt.xen import kernel, limits
from xengt.xen.limits import Limit

SCHEMA = schemas.load("plan")
GUESTS = st.builds(
    GuestDevices,
    vifs=st.integers(0, 40),
    vbds=st.integers(0, 40),
    vif_queues=st.integers(1, 16),
    vbd_queues=st.integers(1, 16),
    ring_pages=st.sampled_from([1, 2, 4, 8, 16]),
    segments=st.integers(0, 256),
    user_space=st.booleans(),
    headroom=st.integers(0, 3),
    pages=st.integers(0, 1000),
    vchans=st.integers(0, 5),
    vchan_pages=st.integers(0, 256),
    framebuffers=st.lists(
        st.builds(Framebuffer, st.integers(1, 4000), st.integers(1, 4000)), max_size=2
    ).map(tuple),
)
HOSTS = st.builds(
    Hosts,
    dom0_vcpus=st.integers(1, 64),
    pv_dom0=st.booleans(),
    driver_domains=st.sampled_from([(), ("vifs",), ("vbds",), ("vifs", "vbds")]),
    driver_vcpus=st.integers(1, 8),
)
PV = Hosts(dom0_vcpus=1, pv_dom0=True)


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
    assert needs(vifs=3, vif_queues=4)["vifs"].references == 12 * 514


def test_a_vbd_needs_the_mappings_that_blkback_keeps():
    """Linux's default of max_persistent_grants is 1056: all of one ring's requests."""
    disk = needs(vbds=1)["vbds"]
    assert (disk.references, disk.mappings) == (1 + 1056, 1 + 1056)
    assert needs(vbds=1, segments=0)["vbds"].references == 1 + 32 * 11
    assert needs(vbds=1, ring_pages=4)["vbds"].references == 4 + 128 * 33
    assert needs(vbds=2, vbd_queues=4)["vbds"].mappings == 8 * 1057


@pytest.mark.parametrize("ring_pages", [1, 4])
def test_qemu_and_tapdisk_map_the_rings_and_copy_11_segments(ring_pages):
    """They have one ring per vbd and no indirect requests, whatever blkfront could use."""
    disk = needs(vbds=3, user_space=True, vbd_queues=4, segments=32, ring_pages=ring_pages)["vbds"]
    assert disk.references == 3 * (ring_pages + slots(ring_pages, 112) * 11)
    assert disk.mappings == 3 * ring_pages * 2


def test_devices_that_may_be_added_count():
    assert needs(vifs=2, vbds=1, headroom=1)["vifs"].references == 3 * 514
    assert needs(vifs=2, vbds=1, headroom=1)["vbds"].references == 2 * 1057
    assert needs(vbds=1, headroom=2, user_space=True)["vbds"].mappings == 3 * 2


def test_pages_vchans_and_framebuffers_are_mapped_through_gntdev():
    none = needs()
    assert not {"pages", "vchans", "framebuffers"} & none.keys()
    assert (needs(pages=256)["pages"].references, needs(pages=256)["pages"].mappings) == (256, 512)
    assert needs(vchans=3, vchan_pages=4)["vchans"].references == 3 * (1 + 4 + 4)
    assert needs(vchans=3, vchan_pages=0)["vchans"].mappings == 3 * 2
    # 2025 pages, and two page directories of 1023 references
    screen = needs(framebuffers=(Framebuffer(1920, 1080),))["framebuffers"]
    assert (screen.references, screen.mappings) == (2027, 2 * 2027)


def test_reserved_references_are_mapped_by_daemons():
    none = needs(vifs=0, vbds=0)
    assert (none["reserved"].references, none["reserved"].mappings) == (8, 4)
    assert none["vifs"].references == none["vbds"].mappings == 0


def test_frames_are_rounded_up_and_include_a_handle_per_vcpu():
    found = plan_frames(GuestDevices(), 2, Hosts(3, pv_dom0=True))
    assert found.references == 8 + 514 + 1057
    assert found.mappings == 4 + 258 + 1057
    v1, v2, stock, fast = (table.frames for table in found.tables)
    assert (v1, v2) == (4, 7)  # 1579 by 512, by 256
    assert stock == 11  # 2 * 1319 + 3 by 256
    assert fast == 1  # 2 * 4 + 3: what is reserved is always slow


@pytest.mark.parametrize(("vcpus", "frames"), [(217, 6), (218, 7)])
def test_the_unused_handle_of_each_vcpu_counts(vcpus, frames):
    found = plan_frames(GuestDevices(), 1, Hosts(vcpus, pv_dom0=True))
    assert found.tables[2].frames == frames  # 1319 and as many by 256


def test_a_dom0_that_is_not_pv_needs_fewer_mappings():
    found = plan_frames(GuestDevices(user_space=True), 1, Hosts(1, pv_dom0=False))
    assert found.mappings == 2 + 258 + 1


def test_references_beyond_the_fast_handle_need_slow_entries():
    found = plan_frames(GuestDevices(vifs=200), 1, PV)
    beyond = 8 + 200 * 514 + 1057 - 65536
    assert found.tables[-1].frames == -(-(4 + min(2 * beyond, 200 * 258 + 1057) + 1) // 256)


def test_a_driver_domain_maps_what_its_backends_serve():
    guest = GuestDevices(vifs=2, vbds=4)
    hosts = Hosts(1, pv_dom0=True, driver_domains=("vifs",), driver_vcpus=2)
    tables = {table.table: table for table in plan_frames(guest, 10, hosts).tables}
    dom0 = tables["dom0, maptrack of stock Xen"]
    driver = tables["driver domain of vifs, maptrack of stock Xen"]
    assert dom0.frames == -(-(10 * (4 + 4 * 1057) + 1) // 256)
    assert driver.frames == -(-(10 * 2 * 258 + 2) // 256)
    # A domain created now has the current limit, and dom0 the one it was created with.
    assert (dom0.limit, driver.limit) == (9, 5)
    assert driver.option.startswith("max_maptrack_frames in the driver domain's configuration")


def test_two_driver_domains_leave_dom0_the_reserved_references():
    hosts = Hosts(1, pv_dom0=True, driver_domains=("vifs", "vbds"))
    found = plan_frames(GuestDevices(), 1, hosts)
    assert [found.mapper(part) for part in found.parts] == [
        "dom0",
        "driver domain of vifs",
        "driver domain of vbds",
    ]
    stock = [table.frames for table in found.tables if "stock" in table.table]
    assert stock == [1, 2, 5]  # 4, 258 and 1057 mappings


@pytest.mark.parametrize(
    ("vifs", "vbds", "frames"), [(16, 4, 141), (7, 1, 66), (1, 1, 64), (0, 0, 64), (7, 255, 320)]
)
def test_xapi_limits_a_domains_table_by_its_vifs_and_vbds(vifs, vbds, frames):
    guest = GuestDevices(vifs=vifs, vbds=vbds)
    table, *_ = plan_frames(guest, 1, PV, Preset.XAPI).tables
    assert (table.limit, table.source[:15]) == (frames, "XAPI's estimate")


@given(GUESTS, st.integers(1, 100), HOSTS)
def test_the_document_of_any_plan_follows_the_schema(guest, domains, hosts):
    found = plan_frames(guest, domains, hosts)
    jsonschema.validate(json.loads(json.dumps(found.to_json())), SCHEMA)
    more = plan_frames(guest, domains + 1, hosts)
    for less, table in zip(found.tables, more.tables, strict=True):
        assert less.frames <= table.frames
    *_, stock, fast = found.tables
    assert fast.frames <= stock.frames
    # All mappings are made by some domain.
    assert found.mappings == sum(part.mappings for part in found.parts)


def test_the_schema_describes_every_key():
    assert list(schemas.undescribed(SCHEMA)) == []


def run(*options):
    return CliRunner().invoke(app, ["plan", *options])


def test_a_plan_within_the_limits_is_reported():
    done = run()
    assert (done.exit_code, done.stderr) == (0, "")
    assert re.search(r"^total +1,579 +1,319 *$", done.stdout, re.MULTILINE)
    assert re.search(r"^dom0, maptrack of stock Xen +6 +9 ", done.stdout, re.MULTILINE)
    assert "limits: domain's grant table: by hand, dom0's maptrack table: too\n" in done.stdout
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


def planned(*options):
    done = run("--json", *options)
    assert done.exit_code in {0, 1}, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("options", "vif_queues", "vbd_queues"),
    [
        ((), 1, 1),
        (("--queues", "4"), 4, 4),
        (("--vif-queues", "8"), 8, 1),
        (("--queues", "4", "--vbd-queues", "2"), 4, 2),
        (("--queues", "4", "--user-space"), 4, 1),
        (("--preset", "linux"), 8, 4),
        (("--preset", "linux", "--vcpus", "2"), 2, 2),
        (("--preset", "linux", "--vcpus", "6"), 6, 4),
        (("--preset", "linux", "--vcpus", "2", "--vif-queues", "5"), 5, 2),
        (("--preset", "linux", "--user-space"), 8, 1),
        (("--preset", "xapi"), 8, 1),
        (("--preset", "xapi", "--vcpus", "4"), 4, 1),
    ],
)
def test_queues_are_given_or_those_of_a_preset(options, vif_queues, vbd_queues):
    guest = planned(*options)["guest"]
    assert (guest["vif_queues"], guest["vbd_queues"]) == (vif_queues, vbd_queues)


def test_the_preset_of_xapi_fits_xapis_limit():
    document = planned("--preset", "xapi", "--vifs", "16", "--vbds", "4")
    jsonschema.validate(document, SCHEMA)
    guest, (table, *_) = document["guest"], document["tables"]
    assert (guest["headroom"], guest["user_space"], guest["segments"]) == (1, True, 0)
    assert (table["frames"], table["limit"], table["fits"]) == (140, 141, True)
    assert document["preset"] == "xapi"


def test_options_override_a_preset():
    guest = planned("--preset", "xapi", "--headroom", "0", "--no-user-space", "--segments", "16")[
        "guest"
    ]
    assert (guest["headroom"], guest["user_space"], guest["segments"]) == (0, False, 16)


def test_20_domains_of_qemu_or_tapdisk_need_few_mappings():
    document = planned("--user-space", "--vbds", "4", "--domains", "20")
    assert document["domains"] * document["mappings"] == 5400


def test_other_uses_and_driver_domains_are_shown():
    done = run("--framebuffer", "640x480", "--framebuffer", "8x8", "--vchans", "1",
               "--pages", "7", "--driver-domain", "vifs")  # fmt: skip
    assert re.search(r"^framebuffers +303 +606 +dom0 *$", done.stdout, re.MULTILINE)
    assert re.search(r"^vifs +514 +258 +driver domain of vifs *$", done.stdout, re.MULTILINE)
    assert "driver domain of vifs's maptrack table: later" in done.stdout


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--user-space", "--vbd-queues", "2"), "--vbd-queues 2 is for blkback"),
        (("--preset", "xapi", "--segments", "32"), "--segments 32 is for blkback"),
        (("--framebuffer", "1920"), "--framebuffer '1920' is not a size"),
        (("--framebuffer", "0x10"), "--framebuffer '0x10' is not a size"),
    ],
)
def test_options_that_contradict_each_other_are_rejected(options, error):
    done = run(*options)
    assert done.exit_code == 2
    assert error in done.stderr


@pytest.mark.parametrize("options", [("--ring-pages", "3"), ("--vifs", "-1"), ("--queues", "0")])
def test_option_values_that_no_driver_has_are_rejected(options):
    assert run(*options).exit_code == 2
