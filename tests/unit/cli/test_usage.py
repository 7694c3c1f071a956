"""`xengt usage` as a command: its table, its JSON, and --watch."""

import json
import re
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.patience import patient
from tests.unit.fake_hypervisor import xen
from xengt import cli
from xengt.cli import usage
from xengt.report.terminal import usage_table
from xengt.usage import COUNTS, read_usage
from xengt.xen import preflight
from xenlib_cffi.errors import XenLibraryError

__all__ = ["xen"]  # a fixture

NOT_ON_XEN = "xengt: this is not a Xen dom0: Linux does not run on Xen"
FIGURES = (1, 64, 2, 1024, 30, 4_000_000_000_000, 4, 500, 60, 7)


@pytest.fixture
def run(xen, monkeypatch):
    """The command in dom0 of a host with two domains; `run.xen` is its hypervisor."""
    monkeypatch.setattr(preflight, "require_control_domain", lambda: None)
    xen.have(0, *FIGURES)
    xen.have(7, *(figure + 1 for figure in FIGURES))

    def invoke(*options):
        return CliRunner().invoke(cli.app, ["usage", *options], color=True)

    invoke.xen = xen
    return invoke


@pytest.fixture
def sleeps(monkeypatch):
    """The seconds slept between readings; the third sleep is ended by Ctrl-C."""
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(usage.time, "sleep", sleep)
    return slept


NAME = 'w\x1b[2J\n0  \u202e"[red]🚀'.encode() + b"\xff"
PRINTED = r"""w\x1b[2J\x0a0  \u202e"[red]🚀\xff"""


def test_a_name_cannot_forge_a_row_or_control_the_terminal(run):
    run.xen.store.nodes["/local/domain/7/name"] = NAME
    table = run().stdout
    assert PRINTED in table.splitlines()[2]
    assert len(table.splitlines()) == 9  # two tables of two domains, two empty lines and a note
    assert not set("\x1b\u202e") & set(table)


def test_a_name_that_is_not_utf8_is_in_the_document(run):
    run.xen.store.nodes["/local/domain/7/name"] = NAME
    text = run("--json").stdout
    text.encode("ascii")
    assert json.loads(text)["domains"][1]["name"] == PRINTED


def test_each_domain_has_a_row_with_all_figures(run):
    done = run()
    assert (done.exit_code, done.stderr) == (0, "")
    head, zero, seven, *flushes, note = done.stdout.splitlines()
    assert re.split(r" {2,}", head) == [
        *("domid", "name", "grant frames", "limit", "maptrack frames", "limit"),
        *("fast now", "fast since creation", "slow now", "slow since creation"),
    ]
    assert zero.split() == [
        *("0", "Domain-0", "1", "64", "2", "1,024", "30", "4,000,000,000,000", "4", "500")
    ]
    assert seven.split() == ["7", "2", "65", "3", "1,025", "31", "4,000,000,000,001", "5", "501"]
    assert [re.split(r" {2,}", line.strip()) for line in flushes if line] == [
        ["mapper", "TLB flushes", "skipped TLB flushes"],
        ["0", "60", "7"],
        ["7", "61", "8"],
    ]
    assert note.startswith("maptrack: fast: ")


def test_domains_without_unmaps_have_no_row_of_flushes(run):
    run.xen.have(7, *FIGURES[:8], 0, 0)
    assert run().stdout.splitlines()[-3].split() == ["0", "60", "7"]
    run.xen.have(0, *FIGURES[:8], 0, 0)
    assert "flushes" not in run().stdout


def test_missing_figures_are_a_dash_and_one_line_gives_the_reason(run):
    run.xen.tables = None
    run.xen.dying = {7}
    done = run()
    _, zero, seven, *notes = done.stdout.splitlines()
    assert zero.split() == ["0", "Domain-0", "1", "64", *"------"]
    assert seven.split() == ["7", "(dying)", "2", "65", *"------"]
    which, why, default = notes
    assert which.startswith("maptrack: stock: ")
    assert why.startswith(
        "not available: maptrack frames, limit of maptrack frames, "
        "fast now, fast since creation, slow now, slow since creation, TLB flushes, "
        "skipped TLB flushes (this Xen's hypfs has no /gnttab). To get them, boot the patched "
        "hypervisor"
    )
    assert default == (
        "default maptrack limit of a domain without one in its configuration: 1,024 frames (hypfs)"
    )


def test_an_unreachable_xenstore_is_a_dash_in_the_column_of_names(run, monkeypatch, tmp_path):
    monkeypatch.setattr("xengt.xen.xenstore.PATHS", (tmp_path / "none",))
    _, zero, *_, why = run().stdout.splitlines()
    assert zero.split()[:3] == ["0", "-", "1"]
    assert why.startswith("not available: name (XenStore does not exist here")


def test_every_figure_has_a_column_title():
    assert (*usage_table.TITLES, *usage_table.FLUSH_TITLES) == COUNTS


def test_json_output_is_one_document(run):
    done = run("--json")
    found = json.loads(done.stdout)
    assert (found["schema"], found["source"]) == ("xengt.usage/2", "hypfs")
    assert [each["domid"] for each in found["domains"]] == [0, 7]


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        (["--watch"], 2),
        (["--watch", "0.5"], 0.5),
        (["--watch=7"], 7),
        (["--watch", "--json"], 2),
        (["--json", "--watch", "0x10"], None),
        (["--watch", "0"], None),
        (["--watch", "inf"], None),
        (["--watch", "nan"], None),
    ],
)
def test_watch_accepts_seconds_or_no_value(run, sleeps, options, seconds):
    done = run(*options)
    assert done.exit_code == (0 if seconds else 2)
    assert sleeps == ([seconds] * 3 if seconds else [])
    if not seconds:
        assert "--watch" in done.stderr


def test_watched_json_is_one_document_per_line(run, sleeps):
    done = run("--json", "--watch")
    assert done.exit_code == 0
    assert len(sleeps) == len(done.stdout.splitlines()) == 3
    assert all(json.loads(line)["schema"] == "xengt.usage/2" for line in done.stdout.splitlines())


def test_each_reading_contains_the_domains_that_exist_then(run, sleeps):
    run.xen.before = lambda what: run.xen.lose(7) if what == "domains" and len(sleeps) == 1 else 0
    done = run("--json", "--watch", "1")
    counts = [len(json.loads(line)["domains"]) for line in done.stdout.splitlines()]
    assert counts == [2, 1, 1]


def test_watched_readings_are_plain_lines_without_a_terminal(run, sleeps):
    done = run("--watch")
    assert len(sleeps) == 3
    assert done.stdout.count("Domain-0") == done.stdout.count("domid") == 3
    assert done.stdout.split("\n")[0].endswith("Z")
    assert "\x1b" not in done.stdout


def test_watched_readings_replace_each_other_on_a_terminal(run, sleeps, monkeypatch):
    def terminal(stream):
        return Console(file=stream, force_terminal=True, width=60, legacy_windows=False)

    monkeypatch.setattr(usage, "console_on", terminal)
    monkeypatch.setattr(usage, "read_usage", lambda: replace(read_usage(), created=""))
    for tables in run.xen.tables.values():
        tables.update(dict.fromkeys(tables, "7"), **{"fast-maps": str(8_888_888_888_888)})
    done = run("--watch", "3")
    assert done.exit_code == 0
    assert sleeps == [3, 3, 3]
    assert done.stdout.count("every 3 s; press Ctrl-C to end") >= 3
    assert done.stdout.count("skipped TLB flushes") >= 3
    # The cursor moves up over the previous output, and is visible again at the end.
    assert "\x1b[1A" in done.stdout
    assert done.stdout.rstrip().endswith("\x1b[?25h")
    # Narrow, but without lost digits: two domains, in three readings and the last one again.
    assert done.stdout.count("8") == 2 * 4 * len("8,888,888,888,888".replace(",", ""))


def test_an_error_during_watch_ends_the_command(run, sleeps):
    def fail(what):
        if what == "/gnttab" and sleeps:
            raise XenLibraryError("xenhypfs_readdir", what, 13)

    run.xen.before = fail
    done = run("--watch")
    assert (done.exit_code, len(sleeps)) == (3, 1)
    assert done.stderr.startswith("xengt: xenhypfs_readdir on /gnttab: EACCES")


WATCHES = """
import sys, time
from xengt import cli
from xengt.cli import usage
from xengt.xen import preflight
from xengt.usage.document import DefaultLimit, Usage
preflight.require_control_domain = lambda: None
usage.read_usage = lambda: Usage("now", "hypfs", "fast", DefaultLimit(1, "x"), (), ())
cli.main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_watch_with_exit_code_0(number):
    with subprocess.Popen(
        [sys.executable, "-c", WATCHES, "usage", "--json", "--watch", "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert json.loads(process.stdout.readline())["created"] == "now"
            process.send_signal(number)
            out, err = process.communicate(timeout=patient(20))
        finally:
            process.kill()
    assert (process.returncode, out, err) == (0, "", "")


def test_usage_outside_dom0_is_rejected(monkeypatch):
    monkeypatch.setattr(preflight.kernel, "is_control_domain", lambda: False)
    done = CliRunner().invoke(cli.app, ["usage"])
    assert (done.exit_code, done.stderr.splitlines()[0]) == (2, NOT_ON_XEN)
