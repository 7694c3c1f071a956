"""`xengt map`: the output for a page, errors, and the ends of the command."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import threading
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from tests.unit import schemas, stand_in
from xengt import cli
from xengt.errors import FailedError
from xengt.recovery.recorded_maps import record_maps
from xengt.report.terminal.hexdump import hexdump
from xengt.sharing import mapping, refusal
from xengt.sharing.references import Reference, pattern, stamp
from xengt.xen import kernel
from xenlib_cffi.errors import GrantError, GrantStatus, MissingLibraryError, XenLibraryError


def page(gref=None, text=b""):
    """A page of domain 7, with the pattern of `xengt share` if a reference is given."""
    made = bytearray(4096)
    made[64 : 64 + len(text)] = text
    if gref is not None:
        stamp(memoryview(made), 7, gref)
    return bytes(made)


class FakeGntdev(stand_in.Handle):
    """A stand-in for gntdev, which exists only on Xen; its pages are bytes."""

    def __init__(self, pages):
        self.pages = pages
        self.failure = None
        self.requests = []
        self.held = 0

    def __call__(self):
        return self

    def map(self, references, *, readonly):
        if self.failure:
            raise self.failure
        self.requests.append((references, readonly))
        self.held += 1
        return FakePages(self, [self.pages[gref] for _, gref in references])


class FakePages(stand_in.Handle):
    """A stand-in for the pages that gntdev maps."""

    def __init__(self, gntdev, pages):
        self.gntdev = gntdev
        self.pages = pages

    def page(self, index):
        assert self.gntdev.held == 1
        return self.pages[index]

    def release(self):
        self.gntdev.held -= 1

    def __exit__(self, *_):
        self.release()


@pytest.fixture
def gntdev(monkeypatch):
    pages = {8: page(8), 9: page(9, b"hello"), 300: page(text=b"else")}
    # a page that was written to, and a page with the pattern of another reference
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
def test_the_schema_rejects_wrong_values_and_unknown_keys_of_a_page(key, wrong):
    document = run_json("8", "--hexdump")
    document["pages"][0][key] = wrong
    assert not VALIDATOR.is_valid(document)


def test_each_reference_is_printed_on_one_line(gntdev):
    done = run("8-9,300")
    assert (done.exit_code, done.stderr) == (0, "")
    sums = [hashlib.sha256(gntdev.pages[gref]).hexdigest() for gref in (8, 9, 300)]
    assert done.stdout.splitlines() == [
        f"domain 7 reference 8  sha256 {sums[0]}  pattern of xengt share",
        f"domain 7 reference 9  sha256 {sums[1]}  pattern of xengt share",
        f"domain 7 reference 300  sha256 {sums[2]}",
    ]
    assert gntdev.requests == [([(7, 8), (7, 9), (7, 300)], True)]
    assert gntdev.held == 0


def test_a_hexadecimal_reference_is_that_reference(gntdev):
    assert [page["gref"] for page in run_json("0x8", "0x12d-0x12e")["pages"]] == [8, 301, 302]
    assert gntdev.requests == [([(7, 8), (7, 301), (7, 302)], True)]


@pytest.mark.usefixtures("gntdev")
def test_only_pages_with_the_complete_pattern_of_their_reference_are_marked():
    pages = run_json("8", "301-302")["pages"]
    assert [page["shared"] for page in pages] == [True, False, False]


class FakeCall(stand_in.Handle):
    """A stand-in for hypercalls, in which Xen rejects one reference."""

    def __init__(self, rejected):
        self.rejected = rejected
        self.requests = []
        self.held = []

    def map_device(self, references, *, readonly):
        ((domid, gref),) = references
        self.requests.append((gref, readonly))
        if gref == self.rejected:
            raise GrantError("map", domid, gref, "bad reference", GrantStatus.BAD_GNTREF)
        self.held.append(gref)
        return [gref]

    def unmap_device(self, mappings):
        for gref in mappings:
            self.held.remove(gref)
        return [GrantStatus.OKAY] * len(mappings)


@contextmanager
def unrecorded(_references):
    """A record of mappings that nothing reads."""
    yield lambda _number: None


REFERENCES = [Reference(7, gref, 0) for gref in (8, 9, 10)]


@pytest.mark.parametrize(("rejected", "found", "requests"), [(9, 9, [8, 9]), (0, None, [8, 9, 10])])
def test_the_first_reference_that_xen_rejects_is_found(monkeypatch, rejected, found, requests):
    call = FakeCall(rejected)
    monkeypatch.setattr(refusal, "Call", lambda: call)
    error = refusal.find_refusal(REFERENCES, readonly=True, record=unrecorded)
    assert (error and error.gref) == found
    assert call.requests == [(gref, True) for gref in requests]
    assert call.held == []


@pytest.mark.parametrize(("failing", "found"), [(9, 9), (0, None)])
def test_in_a_pvh_dom0_gntdev_finds_the_rejected_reference(gntdev, monkeypatch, failing, found):
    """Xen rejects all device maps there, so they would blame the first reference."""

    class Mapper(FakeGntdev):
        def map(self, references, *, readonly):
            if references == [(7, failing)]:
                raise XenLibraryError("xengnttab_map_grant_refs", "1 reference", errno.EINVAL)
            return super().map(references, readonly=readonly)

    mapper = Mapper(gntdev.pages)
    monkeypatch.setattr(kernel, "dom0_kind", lambda _root=None: "PVH")
    monkeypatch.setattr(refusal, "Call", lambda: pytest.fail("a hypercall was made"))
    monkeypatch.setattr(refusal, "GrantMapper", mapper)
    error = refusal.find_refusal(
        [Reference(7, gref, 0) for gref in (8, 9, 300)],
        readonly=True,
        record=lambda _: pytest.fail("gntdev's mappings need no record"),
    )
    assert (error and error.gref) == found
    assert error is None or "Invalid argument" in str(error)
    assert mapper.held == 0


def test_without_access_to_hypercalls_no_rejected_reference_is_found(monkeypatch):
    def refuse():
        raise XenLibraryError("xencall_open", "privcmd", errno.EACCES)

    monkeypatch.setattr(refusal, "Call", refuse)
    assert refusal.find_refusal(REFERENCES, readonly=True, record=unrecorded) is None


def test_json_contains_the_page_content_with_hexdump(gntdev):
    plain = run_json("300", "8", "--writable")
    assert [page["gref"] for page in plain["pages"]] == [300, 8]
    assert [page["shared"] for page in plain["pages"]] == [False, True]
    assert plain["writable"] is True
    assert gntdev.requests == [([(7, 300), (7, 8)], False)]
    assert "content" not in plain["pages"][0]
    whole = run_json("300", "--hexdump")
    assert bytes.fromhex(whole["pages"][0]["content"]) == gntdev.pages[300]


@pytest.mark.usefixtures("gntdev")
def test_a_page_is_printed_in_hexadecimal():
    lines = run("9", "--hexdump").stdout.splitlines()[1:]
    word = pattern(7, 9).to_bytes(8, "little").hex(" ")
    assert lines[0].startswith(f"00000000  {word}  00 00 00")
    assert lines[1:4] == [
        "00000010  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|",
        "*",
        "00000040  68 65 6c 6c 6f 00 00 00  00 00 00 00 00 00 00 00  |hello...........|",
    ]
    assert lines[-1] == "00001000"


def test_a_dump_equals_the_output_of_hexdump(tmp_path):
    content = os.urandom(48) + bytes(64) + b"abc" * 30 + b"\x7f\x80 ~" + bytes(100)
    file = tmp_path / "content"
    file.write_bytes(content)
    done = subprocess.run(["hexdump", "-C", file], capture_output=True, text=True, check=True)
    assert list(hexdump(content)) == done.stdout.splitlines()


@pytest.mark.parametrize("words", [["x"], ["9-8"], ["8,8"], ["4294967296"], [""]])
def test_invalid_references_are_rejected(gntdev, words):
    done = run(*words)
    assert done.exit_code == 2
    assert "GREF" in done.stderr
    assert gntdev.requests == []


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
def test_a_gntdev_that_cannot_be_opened_is_reported_with_a_remedy(
    monkeypatch, tmp_path, failure, what, remedy
):
    def refuse():
        raise failure

    monkeypatch.setattr(mapping, "GrantMapper", refuse)
    monkeypatch.setattr(mapping, "GNTDEV", tmp_path / "none")
    done = run("8")
    assert done.exit_code == 2
    assert what in done.stderr
    assert remedy in done.stderr


def test_in_dom0_the_rejected_reference_is_reported(gntdev, monkeypatch):
    gntdev.failure = XenLibraryError("xengnttab_map_grant_refs", "2 references", errno.EINVAL)
    error = GrantError("map", 7, 9, "bad reference", GrantStatus.BAD_GNTREF)
    requests = []

    def refused(references, *, readonly, record):
        assert record is record_maps
        requests.extend((*references, readonly))
        return error

    monkeypatch.setattr(mapping, "is_control_domain", lambda: True)
    monkeypatch.setattr(refusal, "find_refusal", refused)
    monkeypatch.setattr(
        refusal, "explain_refusal", lambda error: FailedError(str(error), "a remedy")
    )
    done = run("8-9")
    assert done.exit_code == 3
    assert requests == [Reference(7, 8, 0), Reference(7, 9, 0), True]
    assert "domain 7" in done.stderr
    assert "reference 9" in done.stderr
    assert "a remedy" in done.stderr


def test_in_a_guest_the_error_of_gntdev_is_reported(gntdev):
    gntdev.failure = XenLibraryError("xengnttab_map_grant_refs", "2 references", errno.EINVAL)
    done = run("8-9")
    assert done.exit_code == 3
    assert "EINVAL" in done.stderr
    assert "dmesg" in done.stderr


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_pages_stay_mapped_until_a_signal_with_wait(gntdev, monkeypatch, ending):
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


def test_pages_stay_mapped_for_the_given_duration(gntdev):
    assert run("8", "--duration", "0.05").exit_code == 0
    assert gntdev.held == 0
