"""The search for a rejected reference: a kill leaves a record of what is mapped."""

import errno
import os
import signal
from contextlib import nullcontext
from functools import partial

import pytest
from typer.testing import CliRunner

from tests.unit import stand_in
from xengt import cli
from xengt.bench.engines.gntdev import GntdevEngine
from xengt.bench.engines.persistent import PersistentEngine
from xengt.recovery import recorded_maps
from xengt.recovery.journal import Writer, open_journal
from xengt.recovery.sweep import CleanupSummary
from xengt.sharing import mapping, refusal
from xengt.sharing.references import Reference
from xengt.xen import kernel
from xenlib_cffi.call import GrantMapping
from xenlib_cffi.errors import GrantError, GrantStatus, XenLibraryError

REFERENCES = [Reference(7, gref, 0) for gref in (8, 9, 10)]
FAILURE = XenLibraryError("xengnttab_map_grant_refs", "3 references", errno.EINVAL)


class FakeCall(stand_in.Handle):
    """Stands in for hypercalls: Xen rejects reference 10. `on_unmap` is called before an unmap."""

    def __init__(self):
        self.requests = []
        self.on_unmap = lambda: None
        self.status = GrantStatus.OKAY

    def map_device(self, references, *, readonly):
        assert readonly
        ((domid, gref),) = references
        self.requests.append(gref)
        if gref == 10:
            raise GrantError("map", domid, gref, "bad reference", GrantStatus.BAD_GNTREF)
        return [GrantMapping(gref, 4096 * gref)]

    def unmap_device(self, mappings):
        self.on_unmap()
        return [self.status] * len(mappings)


@pytest.fixture
def path(tmp_path, monkeypatch):
    """The path of the journal."""
    file = tmp_path / "mappings"
    monkeypatch.setattr(recorded_maps, "open_journal", partial(open_journal, file))
    monkeypatch.setattr(recorded_maps, "_LOCK_TIMEOUT_S", 0.0)
    return file


@pytest.fixture
def call(monkeypatch):
    """The fake of hypercalls, in a PV dom0 in which gntdev fails."""
    made = FakeCall()
    monkeypatch.setattr(kernel, "is_translated", lambda: False)
    monkeypatch.setattr(refusal, "Call", lambda: made)
    monkeypatch.setattr(refusal, "explain_refusal", lambda error: error)
    return made


@pytest.fixture
def sweeps(monkeypatch):
    """The contents of the journal at each cleanup."""
    contents = []

    def clean_up(journal):
        contents.append(journal.read())
        journal.clear()
        return CleanupSummary(0, 1, ())

    monkeypatch.setattr(recorded_maps.sweep, "clean_up", clean_up)
    return contents


def find():
    return refusal.find_refusal(REFERENCES, readonly=True, record=recorded_maps.record_maps)


def current(contents):
    """The references that a writer in a journal has perhaps mapped."""
    (writer,) = contents.writers
    return writer.references[writer.cursor - 1 :][: writer.batch] if writer.cursor else []


def test_the_rejected_reference_is_found_and_the_journal_is_empty_then(path, call, sweeps):
    assert find().gref == 10
    assert call.requests == [8, 9, 10]
    assert path.stat().st_size == 0
    assert sweeps == []


@pytest.mark.parametrize("number", [1, 2])
def test_a_kill_between_map_and_unmap_leaves_a_record(path, call, number):
    def kill():
        if len(call.requests) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    call.on_unmap = kill
    child = os.fork()
    if not child:
        find()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with open_journal(path) as journal:
        contents = journal.read()
    assert contents.mapped
    assert current(contents) == [REFERENCES[number - 1]]


def test_an_interruption_between_map_and_unmap_is_cleaned_up(path, call, sweeps):
    def interrupt():
        raise KeyboardInterrupt

    call.on_unmap = interrupt
    with pytest.raises(KeyboardInterrupt):
        find()
    assert [current(contents) for contents in sweeps] == [REFERENCES[:1]]
    assert path.stat().st_size == 0


def test_a_mapping_that_xen_does_not_unmap_is_cleaned_up(path, call, sweeps):
    call.status = GrantStatus.BAD_HANDLE
    assert find() is None
    assert [current(contents) for contents in sweeps] == [REFERENCES[:1]]
    assert path.stat().st_size == 0


def test_a_failed_cleanup_leaves_the_record_for_the_next_run(path, call, monkeypatch):
    def fail(_journal):
        raise XenLibraryError("xc_interface_open", "privcmd", errno.EACCES)

    monkeypatch.setattr(recorded_maps.sweep, "clean_up", fail)
    call.status = GrantStatus.BAD_HANDLE
    assert find() is None
    with open_journal(path) as journal:
        assert current(journal.read()) == REFERENCES[:1]


@pytest.fixture
def xengt_map(monkeypatch, call):
    """Runs `xengt map` in a dom0 whose gntdev rejects the request."""
    del call

    class Gntdev(stand_in.Handle):
        def map(self, _references, *, readonly):
            del readonly
            raise FAILURE

    monkeypatch.setattr(mapping, "GrantMapper", Gntdev)
    monkeypatch.setattr(mapping, "is_control_domain", lambda: True)
    monkeypatch.setattr(mapping.own_pages, "require_other_domains", lambda _: None)
    return lambda: CliRunner().invoke(cli.app, ["map", "7", "8-10"])


def test_map_reports_what_is_known_while_another_process_holds_the_journal(path, call, xengt_map):
    with open_journal(path):
        done = xengt_map()
    assert call.requests == []
    assert done.exit_code == 3
    assert "EINVAL" in done.stderr
    assert "the rejected reference is not known: another xengt process holds" in done.stderr
    assert "then repeat the command to find the reference, or see `dmesg`" in done.stderr


def test_map_keeps_the_record_of_a_killed_run(path, call, xengt_map):
    with open_journal(path) as journal:
        (cursor,) = journal.begin([Writer([Reference(9, 20, 0)], 1)], 0)
        cursor[:] = (1).to_bytes(8, "little")
    done = xengt_map()
    assert call.requests == []
    assert done.exit_code == 3
    assert "the journal has mappings of a killed run" in done.stderr
    assert "xengt bench --samples 1" in done.stderr
    with open_journal(path) as journal:
        assert current(journal.read()) == [Reference(9, 20, 0)]


@pytest.mark.parametrize("engine", [GntdevEngine, PersistentEngine])
def test_the_engines_record_the_mappings_in_the_journal_of_the_run(path, call, monkeypatch, engine):
    monkeypatch.setattr("xengt.bench.engines.gntdev.GrantMapper", nullcontext)
    monkeypatch.setattr(call, "map_device", lambda *_, **__: [GrantMapping(1, 4096)])
    seen = []
    with open_journal(path) as journal:
        made = engine(readonly=True)
        made.prepare(journal, [REFERENCES], 1, [])
        call.on_unmap = lambda: seen.extend(current(journal.read()))
        assert "EINVAL" in made.explain(FAILURE, journal).what
        assert not journal.read().mapped
    assert seen == REFERENCES
