"""The journal: its contents after a killed run, and damaged files."""

import signal
import struct
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.patience import patient
from xengt.errors import Exit, UnmetError
from xengt.recovery.journal import Contents, Writer, open_journal
from xengt.sharing.references import Reference
from xenlib_cffi.call import GrantMapping

DOMIDS = st.integers(0, 0x7FFF)
WORDS = st.integers(0, 2**32 - 1)
REFERENCES = st.lists(st.builds(Reference, DOMIDS, WORDS, st.just(0)), max_size=20)
WRITERS = st.lists(st.builds(Writer, REFERENCES, st.integers(1, 512)), max_size=4)
HELD = st.lists(st.builds(GrantMapping, WORDS, st.integers(0, 2**64 - 1)), max_size=10)

DIES = """
    import os, struct, sys
    from pathlib import Path
    from xengt.recovery.journal import Writer, open_journal
    from xengt.sharing.references import Reference
    from xenlib_cffi.call import GrantMapping

    with open_journal(Path(sys.argv[1])) as journal:
        references = [Reference(7, gref, 0) for gref in range(8, 20)]
        holder, mapper = journal.begin([Writer(references[:4], 4), Writer(references[4:], 2)], 4)
        holder[:] = struct.pack("<Q", 1)
        journal.hold([GrantMapping(100, 0x1000), GrantMapping(101, 0x2000)])
        mapper[:] = struct.pack("<Q", 5)
        print("mapped", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "mappings"


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """One path for all examples of a property."""
    return tmp_path_factory.mktemp("journal") / "mappings"


@pytest.fixture
def killed(path):
    """A journal whose writer can be ended by SIGKILL while references are mapped."""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(DIES), path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "mapped\n"
        yield process
        if process.poll() is None:
            process.kill()


def test_the_journal_of_a_killed_run_contains_its_mappings(path, killed):
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    references = [Reference(7, gref, 0) for gref in range(8, 20)]
    with open_journal(path) as journal:
        assert journal.read() == Contents(
            [Writer(references[:4], 4, 1), Writer(references[4:], 2, 5)],
            [GrantMapping(100, 0x1000), GrantMapping(101, 0x2000)],
        )
        # The contents stay until the journal is cleared, however often it is read.
        assert journal.read().held
        journal.clear()
        assert journal.read() == Contents()


def test_a_second_run_cannot_open_the_journal(path, killed):
    with (
        pytest.raises(UnmetError, match="another xengt process holds the lock") as error,
        open_journal(path),
    ):
        pass
    assert error.value.exit_code == Exit.UNMET
    assert error.value.remedy
    killed.kill()
    killed.wait()
    with open_journal(path) as journal:
        assert journal.read().held


def test_a_run_waits_for_the_lock_until_its_timeout(path):
    with open_journal(path):
        begun = time.monotonic()
        with pytest.raises(UnmetError), open_journal(path, timeout_s=0.2):
            pass
        assert 0.2 <= time.monotonic() - begun < patient(5)
    entered = threading.Event()

    def hold():
        with open_journal(path):
            entered.set()
            time.sleep(0.3)

    other = threading.Thread(target=hold)
    other.start()
    entered.wait()
    with open_journal(path, timeout_s=20) as journal:
        assert journal.read() == Contents()
    other.join()


def test_a_new_journal_is_empty(path):
    with open_journal(path) as journal:
        assert journal.read() == Contents()
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


@settings(deadline=None)  # the duration depends on the disk
@given(WRITERS, HELD, HELD, st.data())
def test_a_written_journal_is_read_back(shared, writers, held, more, data):
    with open_journal(shared) as journal:
        cursors = journal.begin(writers, len(held) + len(more))
        assert journal.read() == Contents(writers, [])
        journal.hold(held)
        journal.hold(more)
        for writer, cursor in zip(writers, cursors, strict=True):
            writer.cursor = data.draw(st.integers(0, 2**64 - 1))
            struct.pack_into("<Q", cursor, 0, writer.cursor)
    with open_journal(shared) as journal:
        assert journal.read() == Contents(writers, [*held, *more])


def test_begin_replaces_the_previous_contents(path):
    with open_journal(path) as journal:
        (cursor,) = journal.begin([Writer([Reference(7, 8, 0)] * 50, 1)], 2)
        cursor[:] = struct.pack("<Q", 1)
        journal.hold([GrantMapping(1, 2)])
        journal.begin([Writer([Reference(9, 10, 0)], 1)], 0)
        assert journal.read() == Contents([Writer([Reference(9, 10, 0)], 1)], [])


def test_cleared_mappings_are_not_held(path):
    with open_journal(path) as journal:
        journal.clear_held()
        journal.begin([], 2)
        journal.hold([GrantMapping(1, 2), GrantMapping(3, 4)])
        journal.clear_held()
        assert journal.read() == Contents()
        journal.hold([GrantMapping(5, 6)])
        assert journal.read().held == [GrantMapping(5, 6)]


def test_hold_before_begin_raises_value_error(path):
    with open_journal(path) as journal, pytest.raises(ValueError, match="hold before begin"):
        journal.hold([GrantMapping(1, 2)])


@settings(deadline=None)  # the duration depends on the disk
@given(st.binary(max_size=400))
def test_a_file_of_arbitrary_bytes_is_read_as_an_empty_journal(shared, garbage):
    shared.write_bytes(garbage)
    with open_journal(shared) as journal:
        assert journal.read() == Contents()


@settings(deadline=None)  # the duration depends on the disk
@given(st.integers(0, 300), st.lists(st.tuples(st.integers(1, 37), st.integers(0, 2**64 - 1))))
def test_a_damaged_journal_yields_values_within_bounds_or_nothing(shared, length, damage):
    with open_journal(shared) as journal:
        writer = Writer([Reference(7, gref, 0) for gref in range(8, 28)], 4)
        journal.begin([writer, writer], 3)
        journal.hold([GrantMapping(1, 2), GrantMapping(3, 4)])
    data = bytearray(shared.read_bytes())
    for word, value in damage:
        struct.pack_into("<Q", data, 8 * word, value)
    shared.write_bytes(data[:length] if length < 250 else data)
    with open_journal(shared) as journal:
        contents = journal.read()
    for mapping in contents.held:
        assert mapping.handle < 2**32
    for writer in contents.writers:
        assert all(domid < 2**16 and gref < 2**32 for domid, gref, _ in writer.references)
    if length < 250 and not damage:
        assert contents == Contents()


def test_a_file_with_another_magic_is_read_as_an_empty_journal(path):
    with open_journal(path) as journal:
        journal.begin([], 1)
        journal.hold([GrantMapping(1, 2)])
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    with open_journal(path) as journal:
        assert journal.read() == Contents()


def test_begin_allocates_the_disk_space_of_the_whole_journal(path):
    with open_journal(path) as journal:
        journal.begin([Writer([Reference(7, 8, 0)], 1)], 10_000)
        assert path.stat().st_blocks * 512 >= path.stat().st_size > 160_000


def test_a_full_disk_is_an_error_before_anything_is_mapped(path):
    code = """
        import resource, sys
        from pathlib import Path
        from xengt.errors import UnmetError
        from xengt.recovery.journal import Writer, open_journal
        from xengt.sharing.references import Reference

        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
        with open_journal(Path(sys.argv[1])) as journal:
            try:
                journal.begin([Writer([Reference(7, 8, 0)] * 2000, 1)], 0)
            except UnmetError as error:
                print(error.what)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), path],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "the journal of mappings needs 16048 bytes: File too large\n"


def test_a_journal_that_cannot_be_opened_is_reported(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UnmetError, match="file/mappings cannot be opened") as error,
        open_journal(tmp_path / "file" / "mappings"),
    ):
        pass
    assert error.value.remedy == "run xengt as root"


def test_the_lock_is_released_with_the_context_while_cursors_exist(path):
    with open_journal(path) as journal:
        cursors = journal.begin([Writer([Reference(7, 8, 0)], 1)], 0)
    with open_journal(path) as journal:
        cursors[0][:] = bytes(8)
        assert journal.read().writers


def test_a_symbolic_link_is_not_followed(path, tmp_path):
    path.parent.mkdir()
    target = tmp_path / "precious"
    target.write_text("as it was")
    path.symlink_to(target)
    with pytest.raises(UnmetError, match="cannot be opened"), open_journal(path):
        pass
    assert target.read_text() == "as it was"
