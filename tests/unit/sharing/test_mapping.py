"""`xengt map`: what is shown of a page, what is refused, and that it ends well."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import threading

import pytest
from typer.testing import CliRunner

from tests.unit import schemas, stand_in
from xengt import cli
from xengt.errors import FailedError
from xengt.report.terminal.hexdump import hexdump
from xengt.sharing import mapping, refusal
from xengt.sharing.references import Reference, pattern, stamp
from xenlib_cffi.errors import GrantError, GrantStatus, MissingLibraryError, XenLibraryError


def page(gref=None, text=b""):
    """A page of domain 7, as `xengt share` has it if a reference is given."""
    made = bytearray(4096)
    made[64 : 64 + len(text)] = text
    if gref is not None:
        stamp(memoryview(made), 7, gref)
    return bytes(made)


class FakeGntdev(stand_in.Handle):
    """Stand in for gntdev, which only Linux on Xen has: references whose pages are bytes."""

    def __init__(self, pages):
        self.pages = pages
        self.failure = None
        self.asked = []
        self.held = 0

    def __call__(self):
        return self

    def map(self, references, *, readonly):
        if self.failure:
            raise self.failure
        self.asked.append((references, readonly))
        self.held += 1
        return FakePages(self, [self.pages[gref] for _, gref in references])


class FakePages(stand_in.Handle):
    """Stand in for what it maps."""

    def __init__(self, gntdev, pages):
        self.gntdev = gntdev
        self.pages = pages

    def page(self, index):
        assert self.gntdev.held == 1
        return self.pages[index]

    def __exit__(self, *_):
        self.gntdev.held -= 1


@pytest.fixture
def gntdev(monkeypatch):
    pages = {8: page(8), 9: page(9, b"hello"), 300: page(text=b"else")}
    # One that was written to, and one that is another reference's.
    pages |= {301: page(301)[:-1] + b"!", 302: page(8)}
    fake = FakeGntdev(pages)
    monkeypatch.setattr(mapping, "GrantMapper", fake)
    monkeypatch.setattr(mapping, "is_control_domain", lambda: False)
    return fake


VALIDATOR = schemas.validator("map")


def run(*words):
    return CliRunner().invoke(cli.app, ["map", "7", *words])


def run_json(*words):
    """Run the command with --json, and validate the document it prints."""
    document = json.loads(run(*words, "--json").stdout)
    VALIDATOR.validate(document)
    return document


@pytest.mark.usefixtures("gntdev")
@pytest.mark.parametrize(
    ("key", "wrong"),
    [("gref", -1), ("sha256", "ab"), ("shared", None), ("content", "00"), ("more", 1)],
)
def test_the_schema_rejects_what_no_page_has(key, wrong):
    document = run_json("8", "--hexdump")
    document["pages"][0][key] = wrong
    assert not VALIDATOR.is_valid(document)


def test_a_line_a_reference(gntdev):
    done = run("8-9,300")
    assert (done.exit_code, done.stderr) == (0, "")
    sums = [hashlib.sha256(gntdev.pages[gref]).hexdigest() for gref in (8, 9, 300)]
    assert done.stdout.splitlines() == [
        f"domain 7 reference 8  sha256 {sums[0]}  pattern of xengt share",
        f"domain 7 reference 9  sha256 {sums[1]}  pattern of xengt share",
        f"domain 7 reference 300  sha256 {sums[2]}",
    ]
    assert gntdev.asked == [([(7, 8), (7, 9), (7, 300)], True)]
    assert gntdev.held == 0


@pytest.mark.usefixtures("gntdev")
def test_only_what_is_whole_and_of_the_reference_is_marked():
    pages = run_json("8", "301-302")["pages"]
    assert [seen["shared"] for seen in pages] == [True, False, False]


class FakeCall(stand_in.Handle):
    """Stand in for hypercalls: one reference is refused, and all that are mapped are unmapped."""

    def __init__(self, refuses):
        self.refuses = refuses
        self.asked = []
        self.held = []

    def map_device(self, references, *, readonly):
        ((domid, gref),) = references
        self.asked.append((gref, readonly))
        if gref == self.refuses:
            raise GrantError("map", domid, gref, "bad reference", GrantStatus.BAD_GNTREF)
        self.held.append(gref)
        return [gref]

    def unmap_device(self, mappings):
        for gref in mappings:
            self.held.remove(gref)


@pytest.mark.parametrize(("refuses", "found", "asked"), [(9, 9, [8, 9]), (0, None, [8, 9, 10])])
def test_the_first_that_xen_refuses_is_found(monkeypatch, refuses, found, asked):
    call = FakeCall(refuses)
    monkeypatch.setattr(refusal, "Call", lambda: call)
    error = refusal.find_refusal([Reference(7, gref, 0) for gref in (8, 9, 10)], readonly=True)
    assert (error and error.gref) == found
    assert call.asked == [(gref, True) for gref in asked]
    assert call.held == []


def test_who_may_not_ask_xen_is_told_nothing(monkeypatch):
    def refuse():
        raise XenLibraryError("xencall_open", "privcmd", errno.EACCES)

    monkeypatch.setattr(refusal, "Call", refuse)
    assert refusal.find_refusal([Reference(7, 8, 0)], readonly=True) is None


def test_json_has_the_content_when_it_is_asked_for(gntdev):
    plain = run_json("300", "8", "--writable")
    assert [seen["gref"] for seen in plain["pages"]] == [300, 8]
    assert [seen["shared"] for seen in plain["pages"]] == [False, True]
    assert plain["writable"] is True
    assert gntdev.asked == [([(7, 300), (7, 8)], False)]
    assert "content" not in plain["pages"][0]
    whole = run_json("300", "--hexdump")
    assert bytes.fromhex(whole["pages"][0]["content"]) == gntdev.pages[300]


@pytest.mark.usefixtures("gntdev")
def test_a_page_in_hexadecimal():
    shown = run("9", "--hexdump").stdout.splitlines()[1:]
    word = pattern(7, 9).to_bytes(8, "little").hex(" ")
    assert shown[0].startswith(f"00000000  {word}  00 00 00")
    assert shown[1:4] == [
        "00000010  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|",
        "*",
        "00000040  68 65 6c 6c 6f 00 00 00  00 00 00 00 00 00 00 00  |hello...........|",
    ]
    assert shown[-1] == "00001000"


def test_a_dump_is_that_of_hexdump(tmp_path):
    content = os.urandom(48) + bytes(64) + b"abc" * 30 + b"\x7f\x80 ~" + bytes(100)
    file = tmp_path / "content"
    file.write_bytes(content)
    told = subprocess.run(["hexdump", "-C", file], capture_output=True, text=True, check=True)
    assert list(hexdump(content)) == told.stdout.splitlines()


@pytest.mark.parametrize("words", [["x"], ["9-8"], ["8,8"], ["4294967296"], [""]])
def test_what_is_no_reference_is_refused(gntdev, words):
    done = run(*words)
    assert done.exit_code == 2
    assert "GREF" in done.stderr
    assert gntdev.asked == []


@pytest.mark.parametrize(
    ("failure", "what", "remedy"),
    [
        (
            XenLibraryError("xengnttab_open", "gntdev", errno.EACCES),
            "EACCES",
            "modprobe xen-gntdev",
        ),
        (MissingLibraryError("Xen's C libraries cannot be used"), "libraries", ""),
    ],
)
def test_without_gntdev_it_says_what_to_do(monkeypatch, tmp_path, failure, what, remedy):
    def refuse():
        raise failure

    monkeypatch.setattr(mapping, "GrantMapper", refuse)
    monkeypatch.setattr(mapping, "GNTDEV", tmp_path / "none")
    done = run("8")
    assert done.exit_code == 2
    assert what in done.stderr
    assert remedy in done.stderr


def test_in_dom0_xen_says_which_it_refuses(gntdev, monkeypatch):
    gntdev.failure = XenLibraryError("xengnttab_map_grant_refs", "2 references", errno.EINVAL)
    error = GrantError("map", 7, 9, "bad reference", GrantStatus.BAD_GNTREF)
    asked = []

    def refused(references, *, readonly):
        asked.extend((*references, readonly))
        return error

    monkeypatch.setattr(mapping, "is_control_domain", lambda: True)
    monkeypatch.setattr(refusal, "find_refusal", refused)
    monkeypatch.setattr(
        refusal, "explain_refusal", lambda error: FailedError(str(error), "a remedy")
    )
    done = run("8-9")
    assert done.exit_code == 3
    assert asked == [Reference(7, 8, 0), Reference(7, 9, 0), True]
    assert "domain 7" in done.stderr
    assert "reference 9" in done.stderr
    assert "a remedy" in done.stderr


def test_in_a_guest_it_says_what_gntdev_said(gntdev):
    gntdev.failure = XenLibraryError("xengnttab_map_grant_refs", "2 references", errno.EINVAL)
    done = run("8-9")
    assert done.exit_code == 3
    assert "EINVAL" in done.stderr
    assert "dmesg" in done.stderr


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_waits_with_all_mapped_until_a_signal(gntdev, monkeypatch, ending):
    held = []

    def wait(signals):
        held.append(gntdev.held)
        assert {signal.SIGINT, signal.SIGTERM} <= set(signals)
        timer = threading.Timer(0.05, os.kill, (os.getpid(), ending))
        timer.start()
        found = signal_wait(signals)
        timer.join()
        return found

    signal_wait = signal.sigwait
    monkeypatch.setattr("xengt.cli.signals.signal.sigwait", wait)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [ending])
    try:
        done = run("8", "--wait")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert (done.exit_code, held, gntdev.held) == (0, [1], 0)


def test_it_waits_so_long_and_no_longer(gntdev):
    assert run("8", "--duration", "0.05").exit_code == 0
    assert gntdev.held == 0
