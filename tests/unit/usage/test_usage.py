"""The figures that `xengt usage` reads, on the patched hypervisor and on stock Xen."""

import errno
import json

import pytest

from tests.unit import schemas
from tests.unit.fake_hypervisor import NAMES, failed, xen
from xengt.usage import COUNTS, DomainUsage, document, hypfs, read_usage, reading
from xengt.usage.document import MappedBy
from xenlib_cffi.errors import XenLibraryError

__all__ = ["xen"]  # a fixture

SCHEMA = schemas.load("usage")
VALIDATOR = schemas.validator("usage")
FIGURES = (1, 64, 2, 1024, 30, 4_000_000_000_000, 4, 500, 60, 7)


def rows(usage):
    """Return each domain's figures by domid, after validating the document."""
    VALIDATOR.validate(json.loads(json.dumps(usage.to_json())))
    return {each.domid: tuple(getattr(each, key) for key in COUNTS) for each in usage.domains}


def test_the_keys_of_figures_are_the_last_fields_of_a_domain():
    assert tuple(DomainUsage.__slots__)[-len(COUNTS) :] == COUNTS
    facts = set(DomainUsage.__slots__) - set(COUNTS)
    assert facts == {"domid", "name", "uuid", "own", "dying", "mapped_by"}


def test_the_patched_hypervisor_reports_all_figures_in_hypfs(xen):
    xen.have(0, *FIGURES)
    xen.have(7, *(figure + 1 for figure in FIGURES))
    xen.dying = {7}
    usage = read_usage()
    assert rows(usage) == {0: FIGURES, 7: tuple(figure + 1 for figure in FIGURES)}
    assert (usage.source, usage.maptrack, usage.missing) == ("hypfs", "fast", ())
    assert [(each.name, each.dying) for each in usage.domains] == [
        ("Domain-0", False),
        (None, True),
    ]
    assert {key: name for name, key in NAMES.items()} == hypfs.ENTRIES


def test_fast_entries_that_are_switched_off_are_reported(xen):
    xen.have(0, *FIGURES)
    xen.commandline = "gnttab=max-ver:1,no-fast-maptrack"
    assert (read_usage().source, read_usage().maptrack) == ("hypfs", "no-fast")


@pytest.mark.parametrize(
    ("has_hypfs", "why", "which"),
    [
        (True, "this Xen's hypfs has no /gnttab", "stock"),
        (False, "this Xen has no hypfs", "unknown"),
    ],
)
def test_stock_xen_reports_grant_frames_only(xen, has_hypfs, why, which):
    xen.have(0, *FIGURES)
    xen.have(3, *FIGURES)
    xen.tables, xen.hypfs = None, has_hypfs
    xen.dying = {3}
    usage = read_usage()
    assert rows(usage) == {0: (1, 64, *[None] * 8), 3: (1, 64, *[None] * 8)}
    assert (usage.source, usage.maptrack) == ("query_size", which)
    (missing,) = usage.missing
    assert (missing.keys, missing.why) == (COUNTS[2:], why)
    assert "patched hypervisor" in missing.remedy
    assert [each.dying for each in usage.domains] == [False, True]
    default = usage.default_max_maptrack_frames
    assert default.frames == 1024
    assert default.source == ("hypfs" if has_hypfs else "Xen's default")


def test_an_error_of_hypfs_other_than_enoent_is_raised(xen):
    def refuse(what):
        if what == "/gnttab":
            raise failed("xenhypfs_readdir", what, errno.EPERM)

    xen.before = refuse
    with pytest.raises(XenLibraryError, match="xenhypfs_readdir on /gnttab: EPERM"):
        read_usage()


def test_a_hypfs_that_cannot_be_opened_for_now_is_an_error(xen, monkeypatch):
    def refuse():
        raise failed("xenhypfs_open", "hypfs", errno.EMFILE)

    xen.have(0, *FIGURES)
    monkeypatch.setattr(reading, "HypFs", refuse)
    with pytest.raises(XenLibraryError, match="EMFILE"):
        read_usage()


@pytest.mark.parametrize(
    "moment",
    ["/gnttab/0", "/gnttab/5/frames", "/gnttab/5/slow-maps", "/gnttab/5/flushes", "domains"],
)
def test_a_domain_destroyed_while_hypfs_is_read_is_left_out(xen, moment):
    for domid in (0, 5, 9):
        xen.have(domid, *FIGURES)
    xen.before = lambda what: xen.lose(5) if what == moment else None
    assert rows(read_usage()) == {0: FIGURES, 9: FIGURES}


def test_an_error_reading_the_figures_of_a_domain_is_raised(xen):
    def refuse(what):
        if what == "/gnttab/5/frames":
            raise failed("xenhypfs_read", what, errno.EACCES)

    xen.have(5, *FIGURES)
    xen.before = refuse
    with pytest.raises(XenLibraryError, match="EACCES"):
        read_usage()


@pytest.mark.parametrize("tables", ["hypfs", "query_size"])
def test_a_domain_created_meanwhile_is_complete_or_left_out(xen, tables):
    xen.have(0, *FIGURES)
    if tables == "query_size":
        xen.tables = None

    def come(what):
        if what == "domains":
            xen.domains[8], xen.sizes[8] = bytes(16), (3, 4)

    xen.before = come
    usage = read_usage()
    assert usage.source == tables
    assert (8 in rows(usage)) == (tables == "query_size")


def test_a_domain_destroyed_while_sizes_are_queried_is_left_out(xen):
    for domid in (0, 5):
        xen.have(domid, *FIGURES)
    xen.tables = None
    xen.before = lambda what: xen.lose(5) if what == 5 else None
    usage = read_usage()
    assert list(rows(usage)) == [0]
    assert len(usage.missing) == 1


def test_a_domain_replaced_while_sizes_are_queried_is_left_out(xen):
    def replace(what):
        if what == 5:
            xen.domains[5] = b"another domain 5"
            del xen.sizes[5]

    xen.have(0, *FIGURES)
    xen.have(5, *FIGURES)
    xen.tables, xen.before = None, replace
    assert list(rows(read_usage())) == [0]


def test_a_domain_whose_size_is_denied_is_listed_with_the_reason(xen):
    xen.have(0, *FIGURES)
    xen.have(5, *FIGURES)
    xen.tables = None
    xen.sizes[5] = failed("xc_gnttab_query_size", "domain 5 (GNTST_permission_denied)", 3)
    usage = read_usage()
    assert rows(usage)[5] == (None,) * 10
    assert usage.missing[1].keys == COUNTS[:2]
    assert "GNTST_permission_denied" in usage.missing[1].why


def test_figures_missing_from_a_partly_patched_hypervisor_are_reported(xen):
    xen.have(0, *FIGURES)
    xen.have(5, *FIGURES)
    for table in xen.tables.values():
        del table["slow-maps"], table["fast-live"]
    usage = read_usage()
    known = (*FIGURES[:4], None, *FIGURES[5:7], None, *FIGURES[8:])
    assert rows(usage) == {0: known, 5: known}
    (missing,) = usage.missing
    assert missing.keys == ("fast_live", "slow_maps")
    assert "fast-live, slow-maps" in missing.why


def test_flushes_of_a_domain_without_mappings_are_zero_and_not_read(xen):
    xen.have(0, *FIGURES)
    xen.have(5, *FIGURES[:5], 0, 0, 0, 8, 9)
    read = []
    xen.before = read.append
    assert rows(read_usage()) == {0: FIGURES, 5: (*FIGURES[:5], 0, 0, 0, 0, 0)}
    assert "/gnttab/0/flushes" in read
    assert "/gnttab/5/slow-maps" in read
    assert "/gnttab/5/flushes" not in read


def test_flushes_that_a_hypervisor_does_not_count_are_missing_for_all_domains(xen):
    xen.have(0, *FIGURES)
    xen.have(5, *FIGURES[:5], 0, 0, 0, 8, 9)
    for table in xen.tables.values():
        del table["flushes"], table["skipped-flushes"]
    usage = read_usage()
    assert {each[8:] for each in rows(usage).values()} == {(None, None)}
    (missing,) = usage.missing
    assert missing.keys == ("tlb_flushes", "skipped_tlb_flushes")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        (str((1 << 32) + 5), (1 << 32) + 5),
        (str((1 << 63) - 1), (1 << 63) - 1),
        (str((1 << 64) - 2), 0),  # -2, read while a mapping moved between two CPUs' counts
    ],
)
def test_figures_have_64_bits_and_are_never_negative(xen, text, count):
    xen.have(0, *FIGURES)
    xen.tables[0]["fast-live"] = text
    (domain,) = read_usage().domains
    assert domain.fast_live == count


def test_without_xenstore_all_figures_but_names_are_reported(xen, monkeypatch, tmp_path):
    monkeypatch.setattr("xengt.xen.xenstore.PATHS", (tmp_path / "none",))
    xen.have(0, *FIGURES)
    usage = read_usage()
    assert rows(usage) == {0: FIGURES}
    (missing,) = usage.missing
    assert missing.keys == ("name",)
    assert "XenStore" in missing.why
    assert missing.remedy


def test_a_xenstore_that_does_not_answer_is_waited_for_once(xen):
    for domid in range(4):
        xen.have(domid, *FIGURES)
    xen.store.fault = "silent"
    usage = read_usage()
    assert xen.store.connections == 1
    assert [each.name for each in usage.domains] == [None] * 4
    assert "does not answer" in usage.missing[0].why


def test_the_schema_describes_every_key_and_no_other():
    domain = SCHEMA["properties"]["domains"]["items"]
    assert tuple(domain["properties"]) == tuple(domain["required"]) == DomainUsage.__slots__
    assert tuple(SCHEMA["properties"]) == ("schema", "xengt", *document.Usage.__slots__)
    missing = SCHEMA["properties"]["missing"]["items"]["properties"]["keys"]["items"]["enum"]
    assert missing == ["name", *COUNTS, "mapped_by"]
    mapper = domain["properties"]["mapped_by"]["items"]
    assert tuple(mapper["properties"]) == tuple(mapper["required"]) == MappedBy.__slots__

    assert list(schemas.undescribed(SCHEMA)) == []


@pytest.mark.parametrize(
    ("key", "wrong"),
    [("fast_live", -1), ("domid", None), ("dying", 0), ("slow_maps", 1.5), ("more", 1)],
)
def test_the_schema_rejects_wrong_values_and_unknown_keys_of_a_domain(xen, key, wrong):
    xen.have(0, *FIGURES)
    good = json.loads(json.dumps(read_usage().to_json()))
    VALIDATOR.validate(good)
    good["domains"][0][key] = wrong
    assert not VALIDATOR.is_valid(good)
