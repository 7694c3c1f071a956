"""`xengt usage --from-console`: what Xen prints for debug key g, within the console ring."""

import json

import pytest
from typer.testing import CliRunner

from tests.unit import schemas
from tests.unit.fake_hypervisor import FakeCtrl, xen
from xengt import cli
from xengt.errors import FailedError, UnmetError
from xengt.usage import COUNTS, debug_key, document, read_usage
from xengt.usage.debug_key import parse
from xengt.xen import preflight

__all__ = ["xen"]  # a fixture

VALIDATOR = schemas.validator("usage")
FIGURES = (1, 64, 2, 1024, 30, 4_000, 4, 500, 60, 7)
#: one mapping for the CPU, writable; for the CPU, read-only, twice; for devices, writable
HOST, READONLY_TWICE, DEVICE = 0x1, 0x200, 0x10000


@pytest.fixture
def stock(xen):
    """Stock Xen with dom0 and domain 7, which grants four references to dom0 and one to 5."""
    xen.have(0, *FIGURES)
    xen.have(7, *FIGURES)
    xen.tables = None
    xen.entries[7] = [
        (8, 0, HOST),
        (9, 0, HOST | READONLY_TWICE),
        (10, 0, HOST | DEVICE),
        (0x12C, 0, DEVICE),
        (0x12D, 5, HOST),
    ]
    return xen


def read():
    usage = read_usage(from_console=True)
    VALIDATOR.validate(json.loads(json.dumps(usage.to_json())))
    return usage


@pytest.mark.usefixtures("stock")
def test_maptrack_frames_and_mappers_are_read_on_stock_xen():
    usage = read()
    zero, seven = usage.domains
    assert usage.source == "console"
    assert (seven.maptrack_frames, seven.max_maptrack_frames) == (3, 1024)
    assert seven.mapped_by == (
        document.MappedBy(0, 4, "8-10,300", 3, 2, 2, 0),
        document.MappedBy(5, 1, "301", 1, 0, 0, 0),
    )
    assert zero.mapped_by == ()
    (missing,) = usage.missing
    assert missing.keys == COUNTS[4:]
    assert "--from-console" not in missing.remedy


def test_an_unrequested_console_is_not_read(stock):
    stock.before = lambda query: 1 / 0 if query == "g" else None
    usage = read_usage()
    assert [each.mapped_by for each in usage.domains] == [None, None]
    assert usage.missing[0].keys == COUNTS[2:]
    assert "--from-console" in usage.missing[0].remedy


def test_on_the_patched_hypervisor_only_the_mappers_are_added(xen):
    xen.have(0, *FIGURES)
    xen.have(7, *FIGURES)
    xen.entries[7] = [(8, 0, HOST)]
    usage = read()
    assert (usage.source, usage.missing) == ("hypfs", ())
    assert usage.domains[1].maptrack_frames == 2  # from hypfs
    assert usage.domains[1].mapped_by[0].references == 1


def test_what_the_ring_has_lost_is_missing_and_not_guessed(stock):
    for domid in (8, 9):
        stock.domains[domid], stock.sizes[domid] = bytes(16), (1, 64)
    stock.entries[8] = [(gref, 0, HOST) for gref in range(8, 200)]
    stock.entries[9] = [(8, 0, HOST)]
    stock.conring_size = 2048  # the ring begins among the entries of domain 8
    usage = read()
    zero, seven, eight, nine = usage.domains
    assert {each.mapped_by for each in (zero, seven, eight)} == {None}
    assert {each.maptrack_frames for each in (zero, seven, eight)} == {None}
    assert (nine.maptrack_frames, nine.mapped_by[0].references) == (3, 1)
    lost = usage.missing[1]
    assert lost.keys == ("maptrack_frames", "max_maptrack_frames", "mapped_by")
    assert lost.why.startswith("domains 0,7-8: the console ring is too small")
    assert "conring_size" in lost.remedy


def test_a_ring_without_any_whole_table_has_lost_all_domains(stock):
    stock.conring_size = 100
    usage = read()
    assert [each.mapped_by for each in usage.domains] == [None, None]
    assert usage.missing[1].why.startswith("domains 0,7:")


@pytest.mark.parametrize("stamp", ["", "[2026-11-29 03:11:30] ", "[  105.123456] "])
def test_lines_may_have_timestamps(stock, stamp):
    stock.print_tables()
    printed = parse(stock.console.replace("(XEN) ", f"(XEN) {stamp}"))
    assert printed.from_start
    assert sorted(printed.tables) == [0, 7]
    assert len(printed.tables[7].entries) == 5
    assert printed.tables[7].complete


def test_an_earlier_output_in_the_ring_is_not_read(stock):
    stock.print_tables()
    stock.entries = {}
    assert [each.mapped_by for each in read().domains] == [(), ()]


def test_a_guest_cannot_forge_the_output(stock):
    """Xen prefixes what guests print on its console with their domids."""
    forged = (
        "(d7) grant-table for remote d0 (v1)\n(d7)   9 frames (9 max), 9 maptrack frames (9 max)\n"
    )
    stock.before = lambda _query: setattr(stock, "console", stock.console + forged)
    zero, _ = read().domains
    assert zero.maptrack_frames == 3


def test_an_interrupted_entry_makes_its_table_incomplete(stock):
    stock.print_tables()
    text = stock.console.replace("(XEN) [0x009]  ", "(XEN) [0x0(d5) hello\n(XEN) 09]  ")
    printed = parse(text)
    assert not printed.tables[7].complete
    assert printed.tables[0].complete


@pytest.mark.usefixtures("stock")
def test_a_domain_whose_table_is_incomplete_has_a_reason(monkeypatch):
    whole = parse

    def garbled(output):
        return whole(output.replace("0x00000201 ", "0x0000 [0x"))

    monkeypatch.setattr(debug_key, "parse", garbled)
    usage = read()
    assert usage.domains[1].mapped_by is None
    assert usage.domains[1].maptrack_frames == 3
    assert usage.missing[1].keys == ("mapped_by",)
    assert usage.missing[1].why.startswith("domains 7: another message")


def test_a_domain_created_after_the_output_has_a_reason(stock):
    def come(query):
        if query == "domains":
            stock.domains[9], stock.sizes[9] = bytes(16), (1, 64)

    stock.before = come
    usage = read()
    assert usage.domains[-1].mapped_by is None
    assert usage.missing[1].why.startswith("domains 9: created after")


def test_an_output_without_an_end_is_an_error(stock, monkeypatch):
    monkeypatch.setattr(stock, "print_tables", lambda: None)
    with pytest.raises(FailedError, match="debug key g does not end"):
        debug_key.print_tables(FakeCtrl(stock), timeout_s=0.2)


@pytest.mark.parametrize(
    ("commandline", "safe"),
    [
        ("console=com1 com1=115200,8n1", True),
        ("watchdog console=vga", True),
        ("watchdog console=vga com1=115200,8n1", True),
        ("watchdog com1=115200,8n1", False),
        ("watchdog=force console=com1,vga com1=115200", False),
        ("watchdog=0 console=com1 com1=115200", True),
        ("watchdog no-watchdog console=com1 com1=115200", True),
        ("watchdog console=com1", True),
    ],
)
def test_a_watchdog_that_a_serial_console_would_trigger_prevents_it(stock, commandline, safe):
    stock.commandline = commandline
    if safe:
        assert read().domains[1].mapped_by
    else:
        stock.before = lambda query: 1 / 0 if query == "g" else None
        with pytest.raises(UnmetError, match="watchdog"):
            read_usage(from_console=True)


@pytest.fixture
def run(stock, monkeypatch):
    """The command on stock Xen."""
    assert stock.tables is None
    monkeypatch.setattr(preflight, "require_control_domain", lambda: None)
    return lambda *options: CliRunner().invoke(cli.app, ["usage", "--from-console", *options])


def test_the_command_shows_who_maps_which_reference(run, stock):
    stock.entries[7] += [(gref, 3, HOST) for gref in range(400, 440, 2)]
    done = run()
    assert (done.exit_code, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["7", "1", "64", "3", "1,024", "-", "-", "-", "-"] in lines
    assert ["7", "0", "4", "5", "2", "8-10,300"] in lines
    (many,) = (line for line in lines if line[:3] == ["7", "3", "20"])
    assert " ".join(many[5:]) == "400,402,404,406,408,410,412,414 and 12 more ranges"


def test_the_document_has_all_references(run, stock):
    stock.entries[7] = [(gref, 3, HOST) for gref in range(400, 440, 2)]
    found = json.loads(run("--json").stdout)
    (mapper,) = found["domains"][1]["mapped_by"]
    assert mapper["grefs"].count(",") == 19


def test_the_console_is_not_read_repeatedly(run):
    done = run("--watch", "1")
    assert done.exit_code == 2
    assert "--from-console cannot be repeated" in done.stderr
