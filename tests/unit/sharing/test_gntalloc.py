"""Sharing pages: patterns, publications, errors, and the cleanup afterwards."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.patience import patient
from tests.unit import schemas, stand_in
from tests.unit.waiting import wait_until
from tests.unit.xenstored import FakeXenstored
from xengt import cli
from xengt.errors import FailedError, UnmetError
from xengt.sharing import gntalloc, publisher
from xengt.sharing.publication import Publication, publication_directory, read_publication
from xengt.sharing.references import pattern
from xengt.xen.xenstore import XenStore
from xenlib_cffi.errors import MissingLibraryError, XenLibraryError


@pytest.fixture
def daemon(tmp_path, monkeypatch):
    daemon = FakeXenstored(tmp_path / "socket", domid=7)
    monkeypatch.setattr("xengt.xen.xenstore.PATHS", (daemon.path,))
    yield daemon
    daemon.stop()


@pytest.fixture
def limit(tmp_path, monkeypatch):
    """A file in place of gntalloc's module parameter."""
    file = tmp_path / "limit"
    file.write_text("64\n")
    monkeypatch.setattr(gntalloc, "LIMIT", file)
    return file


class FakeGntalloc(stand_in.Handle):
    """A stand-in for gntalloc, which exists only on Xen; its pages are byte arrays."""

    def __init__(self, failure=None):
        self.failure = failure
        self.calls = []
        self.released = False

    def __call__(self):
        return self

    def share(self, domid, count, *, writable):
        self.calls.append((domid, count, writable))
        self.blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        if self.failure:
            raise XenLibraryError("xengntshr_share_pages", f"{count} pages", self.failure)
        self.given = FakePages(self, count)
        return self.given


class FakePages(stand_in.Handle):
    """A stand-in for the pages that gntalloc shares."""

    def __init__(self, gntalloc, count):
        self.gntalloc = gntalloc
        # in the order in which the kernel reuses references that were freed
        self.references = list(range(7 + count, 7, -1))
        self.pages = [bytearray(4096) for _ in range(count)]

    def __exit__(self, *_):
        self.gntalloc.released = True

    def page(self, index):
        return self.pages[index]


@pytest.fixture
def fake_gntalloc(monkeypatch, limit):
    assert limit.exists()
    fake = FakeGntalloc()
    monkeypatch.setattr(gntalloc, "GrantShare", fake)
    return fake


def test_each_shared_page_has_the_pattern_of_its_reference(fake_gntalloc):
    with gntalloc.shared_pages(3, 5, own=7, writable=False) as references:
        assert [gref for _, gref, _ in references] == [8, 9, 10, 11, 12]
        for index, gref in enumerate(fake_gntalloc.given.references):
            page = fake_gntalloc.given.pages[index]
            assert page[:8] == page[-8:] == pattern(7, gref).to_bytes(8, "little")
        assert {(domid, word == pattern(7, gref)) for domid, gref, word in references} == {
            (7, True)
        }
        assert not fake_gntalloc.released
    assert fake_gntalloc.released
    assert fake_gntalloc.calls == [(3, 5, False)]


def test_more_pages_than_the_limit_are_rejected_without_calling_gntalloc(fake_gntalloc, limit):
    with (
        pytest.raises(UnmetError, match=r"65 pages exceed .* limit of 64") as caught,
        gntalloc.shared_pages(3, 65, own=7),
    ):
        pass
    assert f"echo 65 > {limit}" in caught.value.remedy
    assert fake_gntalloc.calls == []


@pytest.mark.parametrize(
    ("number", "kind", "what"),
    [
        (errno.ENOSPC, UnmetError, "10 more shared pages exceed .* limit of 64"),
        (errno.ENOMEM, UnmetError, "not have 10 free pages"),
        (errno.EINVAL, FailedError, "EINVAL"),
    ],
)
def test_errors_of_gntalloc_are_explained(fake_gntalloc, number, kind, what):
    fake_gntalloc.failure = number
    with pytest.raises(kind, match=what) as caught, gntalloc.shared_pages(3, 10, own=7):
        pass
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("failure", "what", "remedy"),
    [
        (XenLibraryError("xengntshr_open", "gntalloc", errno.EACCES), "EACCES", "as root"),
        (XenLibraryError("xengntshr_open", "gntalloc", errno.ENOENT), "ENOENT", "modprobe"),
        (MissingLibraryError("Xen's C libraries cannot be used"), "libraries", ""),
    ],
)
def test_a_gntalloc_that_cannot_be_opened_is_reported_with_a_remedy(
    monkeypatch, tmp_path, failure, what, remedy
):
    def refuse():
        raise failure

    monkeypatch.setattr(gntalloc, "GrantShare", refuse)
    monkeypatch.setattr(gntalloc, "GNTALLOC", tmp_path / "none")
    with pytest.raises(UnmetError, match=what) as caught, gntalloc.shared_pages(3, 1, own=7):
        pass
    assert remedy in caught.value.remedy


def test_dom0_is_domain_0_without_a_connection_to_xenstore(monkeypatch, daemon):
    monkeypatch.setattr(gntalloc, "is_control_domain", lambda: True)
    with XenStore() as store:
        assert gntalloc.own_domid(store) == 0
    assert daemon.connections == 0
    monkeypatch.setattr(gntalloc, "is_control_domain", lambda: False)
    with XenStore() as store:
        assert gntalloc.own_domid(store) == 7


def sharer(daemon, *, then):
    """Start a process that publishes, and then runs the statement `then`."""
    code = (
        "import os, sys, time, xengt.xen.xenstore\n"
        "from pathlib import Path\n"
        "from xengt.sharing.publisher import publish_while_running\n"
        "from xengt.sharing.publication import Publication\n"
        f"xengt.xen.xenstore.PATHS = (Path({str(daemon.path)!r}),)\n"
        "with xengt.xen.xenstore.XenStore() as store:\n"
        "    with publish_while_running(store, Publication(7, 0, (8, 9), True, os.getpid())):\n"
        "        print('ready', flush=True)\n"
        f"        {then}\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, "xengt"], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    return process


def published_nodes(daemon):
    return [node for node in daemon.nodes if "xengt" in node]


@pytest.fixture
def withdrawer_place(daemon, monkeypatch, tmp_path):
    """Make the second process, which has no options, use the fake daemon."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import xengt.xen.xenstore\nfrom pathlib import Path\n"
        f"xengt.xen.xenstore.PATHS = (Path({str(daemon.path)!r}),)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{site}{os.pathsep}{Path.cwd()}")


@pytest.mark.usefixtures("withdrawer_place")
def test_the_publication_of_a_killed_process_is_withdrawn(daemon):
    process = sharer(daemon, then="time.sleep(60)")
    with process, XenStore() as store:
        assert read_publication(store, 7, 0).grefs == (8, 9)
        process.kill()
    assert wait_until(lambda: not published_nodes(daemon))


@pytest.mark.usefixtures("withdrawer_place")
def test_the_publication_of_a_failed_process_is_withdrawn(daemon):
    with sharer(daemon, then="sys.exit(1)") as process:
        assert process.wait(timeout=patient(20)) == 1
        assert published_nodes(daemon) == []


@pytest.mark.usefixtures("withdrawer_place")
def test_a_second_process_cannot_share_with_the_same_mapper(daemon):
    with sharer(daemon, then="time.sleep(60)") as process, XenStore() as store:
        second = Publication(7, 0, (10,), True, os.getpid())
        with (
            pytest.raises(
                UnmetError,
                match=f"process {process.pid} of this domain already shares pages with domain 0",
            ),
            publisher.publish_while_running(store, second),
        ):
            pass
        assert read_publication(store, 7, 0).grefs == (8, 9)
        process.kill()


def test_the_publication_of_a_dead_process_is_replaced(daemon):
    with XenStore() as store:
        store.write(f"{publication_directory(7, 0)}/pid", str((1 << 22) + 1))
        with publisher.publish_while_running(store, Publication(7, 0, (10,), True, os.getpid())):
            assert read_publication(store, 7, 0).grefs == (10,)
    assert published_nodes(daemon) == []


def test_the_withdrawer_keeps_publications_of_other_processes(daemon, monkeypatch):
    reading, writing = os.pipe()
    os.close(writing)
    with XenStore() as store, os.fdopen(reading) as closed:
        monkeypatch.setattr(sys, "stdin", closed)
        store.write(f"{publication_directory(7, 0)}/pid", "5")
        publisher.main(7, 0, 6)
        assert published_nodes(daemon)
        publisher.main(7, 0, 5)
        assert not published_nodes(daemon)


def test_the_withdrawer_waits_for_the_end_of_its_parent(daemon, monkeypatch):
    reading, writing = os.pipe()
    with XenStore() as store, os.fdopen(reading) as parent:
        monkeypatch.setattr(sys, "stdin", parent)
        store.write(f"{publication_directory(7, 0)}/pid", "5")
        withdrawer = threading.Thread(target=publisher.main, args=(7, 0, 5))
        withdrawer.start()
        withdrawer.join(timeout=0.3)
        assert withdrawer.is_alive()
        assert published_nodes(daemon)
        os.close(writing)
        withdrawer.join(timeout=patient(20))
    assert not published_nodes(daemon)


@pytest.mark.usefixtures("fake_gntalloc")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_with_exit_code_0(daemon, ending):
    def end():
        wait_until(lambda: f"{publication_directory(7, 3)}/state" in daemon.nodes)
        time.sleep(0.05)
        os.kill(os.getpid(), ending)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    # The thread would receive the signal instead of the command if it did not block it.
    signal.pthread_sigmask(signal.SIG_BLOCK, [ending])
    try:
        thread = threading.Thread(target=end)
        thread.start()
        result = CliRunner().invoke(cli.app, ["share", "--to", "3", "--pages", "4"])
        thread.join()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert result.exit_code == 0, result.output
    assert result.output == "ready: 4 references to domain 3: 8-11\n"
    assert published_nodes(daemon) == []


def test_the_command_prints_json_and_ends_after_the_duration(daemon, fake_gntalloc):
    options = ["share", "--to", "3", "--pages", "4", "--readonly", "--json", "--duration", "0.1"]
    result = CliRunner().invoke(cli.app, options)
    assert result.exit_code == 0, result.output
    document = json.loads(result.output)
    validator = schemas.validator("share")
    validator.validate(document)
    for key, wrong in (("pages", 0), ("mapper", None), ("references", [8, 8]), ("more", 1)):
        assert not validator.is_valid(document | {key: wrong})
    assert document == {
        "schema": "xengt.share/1",
        "granter": 7,
        "mapper": 3,
        "pages": 4,
        "writable": False,
        "references": [8, 9, 10, 11],
    }
    assert fake_gntalloc.calls == [(3, 4, False)]
    assert fake_gntalloc.released
    # The signals are blocked from before the sharing until the cleanup is done.
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGHUP} <= fake_gntalloc.blocked
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert published_nodes(daemon) == []


@pytest.mark.usefixtures("daemon", "fake_gntalloc")
def test_the_command_exits_with_2_if_it_cannot_start():
    result = CliRunner().invoke(cli.app, ["share", "--to", "3", "--pages", "65"])
    assert result.exit_code == 2
